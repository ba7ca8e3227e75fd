//! Debian's `docker-registry` as a child process on a loopback port.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::layout::LayoutBuilder;
use crate::{Skip, tools, upload};

/// How a [`Registry`] is set up.
#[derive(Debug, Clone, Default)]
pub struct RegistryOptions {
    /// Basic authentication with this user and password.
    pub basic_auth: Option<(String, String)>,
    /// TLS with a certificate for `127.0.0.1`, `localhost` and `registry.test` by a throwaway CA.
    pub tls: bool,
    /// With TLS: clients have to show a certificate by the same CA. One is `client.cert` with `client.key` beside
    /// [`Registry::ca_cert`].
    pub client_auth: bool,
    /// With TLS: the certificate is signed by its own key and is that of an authority, as `openssl req -x509` makes it.
    /// [`Registry::ca_cert`] is the certificate itself.
    pub self_signed: bool,
    /// YAML appended to the configuration, for what the kit has no option for.
    pub extra_config: String,
}

/// A running registry; dropping it ends the process and removes its storage.
///
/// It also ends when the test process dies without dropping it.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    dir: TempDir,
    port: u16,
    options: RegistryOptions,
}

// Runs the registry until standard input closes, which is when the Registry is
// dropped or its process is gone, however it went.
const RUN_UNTIL_STDIN_CLOSES: &str = r#"
"$1" serve "$2" </dev/null &
registry=$!
cat >/dev/null
kill -KILL "$registry"
wait "$registry"
rm -rf -- "$3"
"#;

const START_LIMIT: Duration = Duration::from_secs(60);

impl Registry {
    /// Starts a registry over plain http without authentication.
    ///
    /// # Errors
    ///
    /// A [`Skip`] when `docker-registry` is not installed.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start() -> Result<Self, Skip> {
        Self::start_with(RegistryOptions::default())
    }

    /// Starts a registry.
    ///
    /// # Errors
    ///
    /// A [`Skip`] when a tool is missing: `docker-registry`, `htpasswd` for
    /// authentication or `openssl` for TLS.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start_with(options: RegistryOptions) -> Result<Self, Skip> {
        let program = tools::tool("docker-registry")?;
        let dir = tempfile::Builder::new()
            .prefix("banger-registry-")
            .tempdir()
            .expect("a temporary directory can be made");
        let config = configuration(dir.path(), &options)?;
        let config_path = dir.path().join("config.yml");
        std::fs::write(&config_path, config).expect("the configuration can be written");
        let log = std::fs::File::create(dir.path().join("log")).expect("the log can be made");
        let child = Command::new("sh")
            .args(["-c", RUN_UNTIL_STDIN_CLOSES, "sh"])
            .arg(&program)
            .arg(&config_path)
            .arg(dir.path())
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a descriptor can be duplicated"))
            .stderr(log)
            .spawn()
            .expect("sh can be started");
        let mut registry = Self { child, dir, port: 0, options };
        registry.port = registry.wait_for_port();
        Ok(registry)
    }

    /// The port that the registry took: it asks the kernel for a free one and logs it.
    fn wait_for_port(&self) -> u16 {
        let started = Instant::now();
        loop {
            let log = self.log();
            let port = log.split_once("listening on 127.0.0.1:").and_then(|(_, rest)| {
                let end = rest.find(|c: char| !c.is_ascii_digit())?;
                rest[..end].parse().ok()
            });
            if let Some(port) = port {
                return port;
            }
            assert!(
                started.elapsed() < START_LIMIT && !log.contains("level=fatal"),
                "docker-registry did not come up:\n{log}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `127.0.0.1:PORT`, as it stands in references.
    #[must_use]
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT/NAME:TAG`.
    #[must_use]
    pub fn reference(&self, name: &str, tag: &str) -> String {
        format!("{}/{name}:{tag}", self.host())
    }

    /// The certificate of the CA, when [`tls`](RegistryOptions::tls) is on.
    #[must_use]
    pub fn ca_cert(&self) -> Option<PathBuf> {
        self.options.tls.then(|| self.dir.path().join("ca").join("ca.crt"))
    }

    /// What the registry logged so far: requests with their status among it.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The file that holds the blob of `digest`, for tests that damage or remove it.
    #[must_use]
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        let (algorithm, hex) = digest.split_once(':').unwrap_or(("sha256", digest));
        self.dir
            .path()
            .join("storage/docker/registry/v2/blobs")
            .join(algorithm)
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }

    /// Copies the image tagged `source_tag` of the OCI layout (with all images of
    /// an index) into the registry as `name:tag`, every digest kept.
    ///
    /// # Errors
    ///
    /// A [`Skip`] when `skopeo` is not installed.
    ///
    /// # Panics
    ///
    /// When `skopeo` fails.
    pub fn push(&self, layout: &Path, source_tag: &str, name: &str, tag: &str) -> Result<(), Skip> {
        let source = format!("oci:{}:{source_tag}", layout.display());
        self.push_from(&source, name, tag)
    }

    /// Like [`push`](Self::push), from any source that `skopeo` knows, such as
    /// `oci-archive:FILE:TAG`.
    ///
    /// # Errors
    ///
    /// A [`Skip`] when `skopeo` is not installed.
    ///
    /// # Panics
    ///
    /// When `skopeo` fails.
    pub fn push_from(&self, source: &str, name: &str, tag: &str) -> Result<(), Skip> {
        let mut skopeo = tools::command("skopeo")?;
        skopeo
            .args(["--insecure-policy", "copy", "--quiet", "--all"])
            .arg("--preserve-digests")
            .args(self.skopeo_options("--dest"))
            .arg(source)
            .arg(format!("docker://{}", self.reference(name, tag)));
        tools::run(&mut skopeo);
        Ok(())
    }

    /// Uploads blobs and the manifest that `descriptor` names byte by byte, over
    /// the registry's own protocol: for manifests that `skopeo` would convert or
    /// refuse. Manifests below an index are uploaded before it.
    ///
    /// # Panics
    ///
    /// When the registry refuses something, and on a registry with TLS or
    /// authentication.
    pub fn upload(&self, layout: &LayoutBuilder, descriptor: &Value, name: &str, tag: &str) {
        assert!(!self.options.tls && self.options.basic_auth.is_none(), "uploads are for open registries");
        upload::upload(&self.host(), &layout.files(), descriptor, name, tag);
    }

    /// `skopeo`'s options that let it reach this registry; `side` is `--src` or `--dest`.
    #[must_use]
    pub fn skopeo_options(&self, side: &str) -> Vec<String> {
        let mut options = Vec::new();
        if self.options.tls {
            let dir = self.dir.path().join("ca");
            options.push(format!("{side}-cert-dir={}", dir.display()));
        } else {
            options.push(format!("{side}-tls-verify=false"));
        }
        match &self.options.basic_auth {
            Some((user, password)) => options.push(format!("{side}-creds={user}:{password}")),
            None => options.push(format!("{side}-no-creds")),
        }
        options
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn configuration(dir: &Path, options: &RegistryOptions) -> Result<String, Skip> {
    let shown = dir.display();
    let mut config = format!(
        "version: 0.1\n\
         log: {{level: info, accesslog: {{disabled: false}}}}\n\
         storage:\n  filesystem: {{rootdirectory: {shown}/storage}}\n  delete: {{enabled: true}}\n\
         http:\n  addr: 127.0.0.1:0\n  secret: test\n  relativeurls: true\n"
    );
    if options.tls {
        make_certificates(dir, options.client_auth)?;
        if options.self_signed {
            make_self_signed(&dir.join("server.key"), &dir.join("server.crt"))?;
            std::fs::copy(dir.join("server.crt"), dir.join("ca/ca.crt"))
                .expect("the certificate can be copied");
        }
        let clients = match options.client_auth {
            true => format!(", clientcas: [{shown}/ca/ca.crt]"),
            false => String::new(),
        };
        config.push_str(&format!(
            "  tls: {{certificate: {shown}/server.crt, key: {shown}/server.key{clients}}}\n"
        ));
    }
    if let Some((user, password)) = &options.basic_auth {
        let htpasswd = tools::run(tools::command("htpasswd")?.args(["-Bbn", user, password]));
        std::fs::File::create(dir.join("htpasswd"))
            .and_then(|mut file| file.write_all(&htpasswd.stdout))
            .expect("the password file can be written");
        config.push_str(&format!("auth:\n  htpasswd: {{realm: test, path: {shown}/htpasswd}}\n"));
    }
    config.push_str(&options.extra_config);
    Ok(config)
}

/// Makes a key and the certificate for `127.0.0.1` that it signed itself, as the certificate of an authority.
///
/// # Errors
///
/// A [`Skip`] when `openssl` is not installed.
pub fn make_self_signed(key: &Path, certificate: &Path) -> Result<(), Skip> {
    let mut command = tools::command("openssl")?;
    let fixed = "req -x509 -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -newkey ec \
                 -pkeyopt ec_paramgen_curve:P-256 -nodes";
    tools::run(command.args(fixed.split(' ')).arg("-keyout").arg(key).arg("-out").arg(certificate));
    Ok(())
}

/// Makes `ca/ca.crt` and, signed by it, `server.crt` and `server.key`, with `client_auth` also a pair for clients.
pub(crate) fn make_certificates(dir: &Path, client_auth: bool) -> Result<(), Skip> {
    let openssl = |arguments: &[&str]| -> Result<(), Skip> {
        let mut command = tools::command("openssl")?;
        tools::run(command.current_dir(dir).args(arguments));
        Ok(())
    };
    // The CA has a directory of its own: skopeo takes one and reads what is in it.
    std::fs::create_dir(dir.join("ca")).expect("the directory can be made");
    std::fs::write(
        dir.join("server.ext"),
        "subjectAltName = IP:127.0.0.1, DNS:localhost, DNS:registry.test\nextendedKeyUsage = serverAuth\n",
    )
    .expect("the extensions can be written");
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(
        &[
            &["req", "-x509", "-days", "2", "-subj", "/CN=banger test CA"],
            &key[..],
            &["-keyout", "ca.key", "-out", "ca/ca.crt"],
        ]
        .concat(),
    )?;
    openssl(
        &[&["req", "-subj", "/CN=127.0.0.1"], &key[..], &["-keyout", "server.key", "-out", "server.csr"]]
            .concat(),
    )?;
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        "server.csr",
        "-CA",
        "ca/ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "server.ext",
        "-out",
        "server.crt",
    ])?;
    if !client_auth {
        return Ok(());
    }
    openssl(
        &[&["req", "-subj", "/CN=client"], &key[..], &["-keyout", "ca/client.key", "-out", "client.csr"]]
            .concat(),
    )?;
    // With extensions it is of version 3, as rustls wants it.
    std::fs::write(dir.join("client.ext"), "extendedKeyUsage = clientAuth\n")
        .expect("the extensions can be written");
    let sign = "x509 -req -days 2 -in client.csr -CA ca/ca.crt -CAkey ca.key -CAcreateserial -extfile client.ext \
                -out ca/client.cert";
    openssl(&sign.split(' ').collect::<Vec<_>>())
}
