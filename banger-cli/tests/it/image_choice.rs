//! The right image, or an error that says how to get it.

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, docker_archive};
use serde_json::json;

use crate::support::{Home, text};

fn image(marker: &str) -> ImageBuilder {
    let layer = LayerBuilder::new().dir("etc").file("etc/marker", marker.as_bytes()).finish();
    ImageBuilder::new().layer(layer)
}

fn marker(home: &Home, reference: &str) -> String {
    let out = home.path("out/x.ext4").display().to_string();
    home.run(["image", "pull", reference, "--no-inject", "--force", "--output", &out]);
    text(&home.run(["rootfs", "cat", &out, "/etc/marker"]).stdout)
}

#[test]
fn b46_one_of_two_images_is_asked_for_by_what_the_error_lists() {
    let home = Home::new();
    let (one, two) = (image("one"), image("two"));
    let file = home.path("two.tar");
    std::fs::write(&file, docker_archive(&[(&one, &["a:latest"]), (&two, &["b:latest"])])).unwrap();
    let reference = format!("docker-archive:{}", file.display());
    for name in ["", ":latest"] {
        let output =
            home.banger(["image", "pull", &format!("{reference}{name}"), "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["error"]["code"], 120);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains("a:latest") && message.contains("b:latest"), "{message}");
        let digest = message.rsplit("(@").next().unwrap().split(')').next().unwrap();
        assert_eq!(marker(&home, &format!("{reference}@{digest}")), "two");
    }
    assert_eq!(marker(&home, &format!("{reference}:a:latest")), "one");
    assert_eq!(marker(&home, &format!("{reference}:docker.io/library/b:latest")), "two");
}

#[test]
fn b46_whole_names_behind_a_path_with_colons() {
    let home = Home::new();
    let mut layout = LayoutBuilder::new();
    for (seed, name) in ["docker.io/library/b:1.0", "localhost/x", "1.0+build.5"].into_iter().enumerate() {
        layout.add_tagged(&image(&seed.to_string()), name);
    }
    let dir = home.path("lay:out:1.0");
    layout.write(&dir);
    for (seed, name) in ["docker.io/library/b:1.0", "localhost/x", "1.0+build.5"].into_iter().enumerate() {
        assert_eq!(marker(&home, &format!("oci:{}:{name}", dir.display())), seed.to_string());
    }
}

#[test]
fn what_is_odd_about_an_image_is_told_and_recorded() {
    let home = Home::new();
    for (user, told) in [("app", true), ("app:0", true), ("1000", false), ("", false)] {
        let dir = home.path("layout");
        let _old = std::fs::remove_dir_all(&dir);
        LayoutBuilder::of(&image("x").config("config", json!({ "User": user }))).write(&dir);
        let reference = format!("oci:{}", dir.display());
        let output = home.run(["image", "pull", &reference, "--no-inject", "--force", "--json"]);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let warnings = document["warnings"].to_string();
        assert_eq!(warnings.contains("/etc/passwd"), told, "{user}: {warnings}");
        assert_eq!(text(&output.stderr).contains("/etc/passwd"), told, "{user}: {}", text(&output.stderr));
    }
}
