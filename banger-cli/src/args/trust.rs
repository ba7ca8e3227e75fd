//! The arguments that say which images and kernels may be pulled.

use banger::{Error, PublicKey, PullError, TrustError, TrustPolicy};
use camino::Utf8PathBuf;
use clap::Args;

/// Which images and kernels may be pulled, by their signatures.
#[derive(Debug, Args)]
pub(crate) struct TrustArguments {
    /// Pull only what this public key signed; repeatable: one of the keys is enough.
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub(crate) verify_key: Vec<Utf8PathBuf>,
    /// Pull only what this policy.json accepts, such as /etc/containers/policy.json [default: no policy].
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<Utf8PathBuf>,
}

impl TrustArguments {
    /// Reads the keys or the policy; `None` if there are none.
    pub(crate) fn policy(&self) -> Result<Option<TrustPolicy>, Error> {
        let policy = || -> Result<Option<TrustPolicy>, TrustError> {
            if let Some(path) = &self.policy {
                return TrustPolicy::read(path).map(Some);
            }
            let keys = self.verify_key.iter().map(|path| PublicKey::read(path));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            Ok((!keys.is_empty()).then(|| TrustPolicy::of_keys(keys)))
        };
        policy().map_err(|error| PullError::from(error).into())
    }
}
