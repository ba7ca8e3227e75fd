//! Finished images that are pushed with a signature and with their provenance.

use std::fs;
use std::path::PathBuf;

use banger_testkit::{ImageBuilder, LayerBuilder, LayoutBuilder, Registry, Skip, require, tools};
use serde_json::{Value, json};

use crate::support::{Home, text};

/// A home with the managed image `app`.
fn converted() -> Home {
    let home = Home::new();
    let layer = LayerBuilder::new().dir("etc").file("etc/hostname", "vm\n").finish();
    let path = home.path("image");
    LayoutBuilder::of(&ImageBuilder::new().layer(layer)).write(&path);
    home.run(["image", "pull", &format!("oci:{}", path.display()), "--name", "app"]);
    home
}

/// Makes a key pair of P-256. Returns the paths of the private and the public key.
fn key_pair(home: &Home, name: &str) -> Result<[String; 2], Skip> {
    let path = |ending: &str| home.path(&format!("{name}.{ending}")).display().to_string();
    let [private, public] = [path("key"), path("pub")];
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    tools::run(tools::command("openssl")?.arg("genpkey").args(curve).args(["-out", &private]));
    tools::run(tools::command("openssl")?.args(["pkey", "-pubout", "-in", &private, "-out", &public]));
    Ok([private, public])
}

/// Runs a command that fails, and returns its error.
fn error(home: &Home, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
    let mut command = home.banger(arguments.iter().chain(&["--json"]));
    command.envs(environment.iter().copied());
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{}", text(&output.stdout));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"].clone()
}

#[test]
fn a_signed_image_is_pulled_by_its_key_alone() {
    let registry = require!(Registry::start());
    let (first, second) = (converted(), Home::new());
    let [private, public] = require!(key_pair(&first, "own"));
    let [_, other] = require!(key_pair(&first, "other"));
    let target = registry.reference("machines/app", "1");
    let statement = first.path("out/provenance.json").display().to_string();
    let push = ["image", "push", "app", &target, "--sign-key", &private, "--attest", &statement];
    let pushed = first.json(&push);
    for digest in ["digest", "signature", "attestation"] {
        assert!(pushed[digest].as_str().unwrap().starts_with("sha256:"), "{pushed}");
    }
    let said = fs::read(&statement).unwrap();
    // The same once more: one signature, and the same statement.
    let again = first.run(push);
    assert!(text(&again.stderr).contains("; signed and attested"), "{}", text(&again.stderr));
    let again = first.json(&push);
    assert_eq!((&again["signature"], &again["attestation"]), (&pushed["signature"], &pushed["attestation"]));
    assert_eq!(fs::read(&statement).unwrap(), said);

    for refused in [&other, &private] {
        let refusal = error(&second, &["image", "pull", &target, "--verify-key", refused], &[]);
        assert!([json!(1221), json!(1229)].contains(&refusal["code"]), "{refusal}");
    }
    assert_eq!(second.leftovers(), [""; 0]);
    let pull = ["image", "pull", &target, "--name", "app", "--verify-key", &public, "--referrers"];
    let pulled = second.json(&pull);
    assert_eq!(pulled["signatures"][0]["digest"], pushed["digest"], "{pulled}");
    assert_eq!(pulled["signatures"][0]["identity"], json!(target), "{pulled}");
    assert_eq!(pulled["referrers"][0]["digest"], pushed["attestation"], "{pulled}");
    assert_eq!(pulled["referrers"][0]["artifact_type"], "application/vnd.in-toto+json");
    let blob = json!(banger_testkit::sha256_digest(&said));
    let kept = PathBuf::from(pulled["referrers_path"].as_str().unwrap());
    let kept = kept.join("blobs").join(blob.as_str().unwrap().replace(':', "/"));
    assert_eq!(fs::read(kept).unwrap(), said);
    assert!(second.json(&pull)["unchanged"].as_bool().unwrap());
    second.run(["image", "verify", "app"]);

    let policy = second.path("policy.json");
    let rule = json!({ "type": "sigstoreSigned", "keyPath": public });
    let scopes = json!({ "docker": { format!("{}/machines", registry.host()): [rule] } });
    fs::write(&policy, json!({ "default": [{ "type": "reject" }], "transports": scopes }).to_string())
        .unwrap();
    second.run(["image", "pull", &target, "--name", "by-policy", "--policy", policy.to_str().unwrap()]);
}

#[test]
fn the_statement_names_result_and_source() {
    let home = converted();
    let target = format!("oci:{}", home.path("artifact").display());
    let file = home.path("out/provenance.json");
    let push = ["image", "push", "app", &target, "--attest", file.to_str().unwrap()];
    let pushed = home.json(&push);
    let said: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let hex = pushed["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(said["subject"][0]["digest"], json!({ "sha256": hex }));
    let record = home.json(&["image", "show", "app"]);
    let built = &said["predicate"]["buildDefinition"];
    assert_eq!(built["externalParameters"]["source"], record["source"]);
    assert_eq!(built["externalParameters"]["options"], record["build"]);
    let source = record["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert_eq!(built["resolvedDependencies"][0]["digest"], json!({ "sha256": source }));
    assert_eq!(said["predicate"]["runDetails"].get("metadata"), None);
    let mut dated = home.banger(push);
    assert!(dated.env("SOURCE_DATE_EPOCH", "86400").output().unwrap().status.success());
    let said: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(said["predicate"]["runDetails"]["metadata"]["finishedOn"], "1970-01-02T00:00:00Z");
}

#[test]
fn keys_and_targets_that_do_not_fit_are_refused_before_the_push() {
    let home = converted();
    let [private, public] = require!(key_pair(&home, "own"));
    let encrypted = concat!(env!("CARGO_MANIFEST_DIR"), "/../banger-oci/tests/cosign/encrypted.key");
    let layout = format!("oci:{}", home.path("new").display());
    let archive = format!("oci-archive:{}", home.path("new.tar").display());
    let statement = home.path("out/provenance.json").display().to_string();
    let right = [("COSIGN_PASSWORD", "correct horse")];
    let wrong = [("COSIGN_PASSWORD", "battery staple")];
    for (target, option, file, environment, code) in [
        (&layout, "--sign-key", public.as_str(), &[][..], 1310),
        (&layout, "--sign-key", "/nonexistent", &[], 1310),
        (&layout, "--sign-key", encrypted, &[], 1311),
        (&layout, "--sign-key", encrypted, &wrong, 1311),
        (&archive, "--sign-key", encrypted, &right, 1312),
        (&archive, "--sign-key", &private, &[], 1312),
        (&archive, "--attest", &statement, &[], 1262),
        (&layout, "--attest", "/nonexistent/file", &[], 504),
    ] {
        let refusal = error(&home, &["image", "push", "app", target, option, file], environment);
        assert_eq!(refusal["code"], code, "{option} {file}: {refusal}");
    }
    for path in ["new", "new.tar", "out/provenance.json"] {
        assert!(!home.path(path).exists(), "{path}");
    }
    let locked = error(&home, &["image", "push", "app", &layout, "--sign-key", encrypted], &[]);
    assert!(locked["advice"].as_str().unwrap().contains("COSIGN_PASSWORD"), "{locked}");
    let mut opened = home.banger(["image", "push", "app", &layout, "--sign-key", encrypted]);
    let opened = opened.envs(right).output().unwrap();
    assert!(opened.status.success() && text(&opened.stderr).contains("; signed"), "{}", text(&opened.stderr));
    let public = encrypted.replace(".key", ".pub");
    home.run(["image", "pull", &layout, "--name", "again", "--verify-key", &public]);
}

#[test]
fn an_image_that_was_pushed_and_not_signed_says_so() {
    let home = converted();
    let [private, _] = require!(key_pair(&home, "own"));
    let layout = home.path("artifact").display().to_string();
    let target = format!("oci:{layout}:app");
    let pushed = home.json(&["image", "push", "app", &target]);
    let digest = pushed["digest"].as_str().unwrap();
    // Another artifact has the tag of the signatures.
    let taken = format!("oci:{layout}:{}.sig", digest.replace(':', "-"));
    home.run(["image", "push", "app", &taken]);
    let failed = error(&home, &["image", "push", "app", &target, "--sign-key", &private], &[]);
    let message = failed["message"].as_str().unwrap();
    assert_eq!(failed["code"], 1315, "{failed}");
    assert!(message.contains("was pushed") && message.contains("is not signed"), "{failed}");
    assert_eq!(failed["context"]["digest"], json!(digest));
    home.run(["image", "pull", &target, "--name", "again"]);
}
