//! Pull policies: when a registry is asked.

use banger_oci::{PullError, PullPolicy};
use banger_tree::Failure as _;

use crate::pull_support::{Bench, Server, Store, noise};

#[test]
fn tags_that_were_pulled_work_without_the_registry() {
    let mut store = Store::default();
    let layer = noise(1, 100_000);
    store.image(Some("1"), "linux/amd64", std::slice::from_ref(&layer));
    let server = Server::plain(store);
    let reference = format!("{}/app:1", server.host());
    let mut bench = Bench::new();

    bench.options.policy = PullPolicy::Never;
    let error = bench.read(&reference).unwrap_err();
    assert!(matches!(&error, PullError::NotCached { .. }), "{error}");
    assert_eq!((error.code(), error.is_transient(), server.asked().len()), (1183, false, 0));

    bench.options.policy = PullPolicy::Missing;
    assert_eq!(bench.read(&reference).unwrap(), std::slice::from_ref(&layer));
    let asked = server.asked().len();
    for policy in [PullPolicy::Missing, PullPolicy::Never] {
        bench.options.policy = policy;
        assert_eq!(bench.read(&reference).unwrap(), std::slice::from_ref(&layer), "{policy}");
        assert_eq!(server.asked().len(), asked, "{policy}");
    }
    bench.options.policy = PullPolicy::Always;
    bench.read(&reference).unwrap();
    assert!(server.asked().len() > asked);

    // A tag of the same repository is another image.
    bench.options.policy = PullPolicy::Never;
    let error = bench.read(&format!("{}/app:2", server.host())).unwrap_err();
    assert!(matches!(&error, PullError::NotCached { what } if what.contains("/app:2")), "{error}");

    drop(server);
    for policy in [PullPolicy::Missing, PullPolicy::Never] {
        bench.options.policy = policy;
        assert_eq!(bench.read(&reference).unwrap(), std::slice::from_ref(&layer), "{policy}");
        assert_eq!(bench.retries(), 0, "{policy}");
    }
}

#[test]
fn parts_that_the_cache_lost_are_fetched_or_named() {
    let mut store = Store::default();
    let layer = noise(2, 100_000);
    store.image(Some("1"), "linux/amd64", std::slice::from_ref(&layer));
    let server = Server::plain(store);
    let reference = format!("{}/app:1", server.host());
    let mut bench = Bench::new();
    let image = bench.pull(&reference).unwrap();
    image.finish().unwrap();
    let blob = image.layers[0].descriptor.digest.clone();
    drop(image);
    std::fs::remove_file(bench.cache.blob_path(&blob)).unwrap();
    let asked = server.asked().len();

    bench.options.policy = PullPolicy::Never;
    let error = bench.read(&reference).unwrap_err();
    assert!(matches!(&error, PullError::NotCached { what } if what.contains(&blob.to_string())), "{error}");
    assert_eq!(server.asked().len(), asked);

    bench.options.policy = PullPolicy::Missing;
    assert_eq!(bench.read(&reference).unwrap(), [layer]);
    assert_eq!(server.count("GET", &blob.to_string()), 2);
    assert_eq!(server.asked().len(), asked + 1);

    // Damage is found, and no sound copy may be fetched.
    std::fs::write(bench.cache.blob_path(&blob), noise(3, 100_000)).unwrap();
    bench.options.policy = PullPolicy::Never;
    let mut image = bench.pull(&reference).unwrap();
    let error = image.repair().unwrap_err();
    assert!(matches!(&error, PullError::NotCached { .. }), "{error}");
}
