//! Finished images from a real registry through a proxy that injects faults by random schedules.

use std::fs;
use std::path::Path;
use std::time::Duration;

use banger::{Cancellation, EventHandler, ImagePushRequest, PullOptions, PullRequest, pull, push_image};
use banger_testkit::{Fault, Forecast, Registry, Weather, WeatherOptions, require, seed};
use camino::Utf8Path;

use crate::fleet::Fleet;

/// Schedules in a run of the tests; `BANGER_SCHEDULES=200` for a thorough one.
const SCHEDULES: u64 = 12;

fn patient() -> PullOptions {
    let mut options = PullOptions::default();
    options.plain_http = true;
    options.max_backoff = Duration::from_millis(20);
    options.stall_timeout = Duration::from_secs(2);
    options.min_rate_bytes = 8_000;
    options.rate_window = Duration::from_secs(1);
    options
}

#[test]
fn any_weather_ends_in_the_right_file_or_a_clear_error() {
    let registry = require!(Registry::start());
    let fleet = Fleet::new();
    let (none, goes_on) = (EventHandler::none(), Cancellation::new());
    let converted = fleet.convert(2);
    let target = format!("{}/app:1", registry.host());
    push_image(&ImagePushRequest::new("app", target.parse().unwrap()), &fleet.first, &none, &goes_on)
        .unwrap();
    let pushed = fs::read(&converted.path).unwrap();
    let is_right = |path: &Utf8Path| fs::read(path).unwrap() == pushed;
    let schedules = std::env::var("BANGER_SCHEDULES")
        .map_or(SCHEDULES, |count| count.parse().expect("BANGER_SCHEDULES is a number"));
    let first = seed();
    let mut succeeded = 0;
    for index in 0..schedules {
        let forecast = Forecast::draw(first.wrapping_mul(1_000_003).wrapping_add(index));
        let options = WeatherOptions {
            forecast: forecast.clone(),
            token: forecast.seed.is_multiple_of(2),
            ..WeatherOptions::default()
        };
        let weather = Weather::start(&registry.host(), options);
        for directory in [&fleet.second.state, &fleet.second.cache] {
            empty(directory.as_std_path());
        }
        let request = PullRequest::new(format!("{}/app:1", weather.host()).parse().unwrap())
            .with_name(Some("app".parse().unwrap()))
            .with_rootfs_only(true)
            .with_pull(patient());
        match pull(&request, &fleet.second, &none, &goes_on) {
            Ok(pulled) => {
                assert!(is_right(&pulled.path), "wrong bytes: {forecast:?}");
                succeeded += 1;
            }
            Err(error) => {
                assert!(!error.to_string().contains('\n'), "{error}");
                assert!(!weather.injected().is_empty(), "{error}: {forecast:?}");
                assert!(fleet.images().is_empty(), "{error}: {forecast:?}, {:?}", fleet.images());
            }
        }
        weather.clear_up();
        let spoils = weather.injected().keys().any(|fault| matches!(fault, Fault::WrongByte));
        let pulled = match pull(&request, &fleet.second, &none, &goes_on) {
            // The wrong bytes that are in a partial file are noticed at its end, and fetched again.
            Err(_) if spoils => pull(&request, &fleet.second, &none, &goes_on),
            outcome => outcome,
        };
        let pulled = pulled.unwrap_or_else(|error| panic!("{error}: {forecast:?}"));
        assert!(is_right(&pulled.path), "wrong bytes afterwards: {forecast:?}");
    }
    println!("{succeeded} of {schedules} pulls succeeded in bad weather");
}

fn empty(directory: &Path) {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
}
