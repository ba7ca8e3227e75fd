//! The policy: which images need which signatures.

use std::collections::BTreeMap;
use std::sync::Arc;

use banger_tree::escape_text;
use camino::Utf8Path;

use super::error::TrustError;
use super::identity::IdentityRule;
use super::key::{PublicKey, read_small};
use super::policy_file::parse_policy;
use super::requirement::{KeySource, Requirement, SignedRequirement};
use super::scopes::scopes_of;
use crate::reference::Reference;

/// The largest policy file that is read.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// Which images may be pulled: a list of keys, or a containers `policy.json`. Cloning it is cheap.
///
/// ```no_run
/// use banger_oci::{PublicKey, PullOptions, TrustPolicy};
///
/// let key = PublicKey::read("cosign.pub".into())?;
/// let options = PullOptions::default().with_trust(TrustPolicy::of_keys([key]));
/// # Ok::<(), banger_oci::TrustError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrustPolicy(Arc<Rules>);

/// The rules of a policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// The file, for messages.
    pub(super) name: String,
    pub(super) default: Vec<Requirement>,
    /// By transport and scope.
    pub(super) transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// The rule that holds for one reference.
pub(super) struct AppliedRule<'a> {
    pub(super) requirements: &'a [Requirement],
    /// The transport and scope, for messages.
    pub(super) scope: String,
}

impl TrustPolicy {
    /// Accepts images with a signature by one of `keys`, and refuses all others. If the signature names a
    /// repository, and the image comes from a registry, it has to be the repository of the image.
    pub fn of_keys(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let keys = keys.into_iter().map(KeySource::Given).collect();
        let signed = SignedRequirement { keys, identity: IdentityRule::IfNamed };
        Self(Arc::new(Rules { default: vec![Requirement::Signed(signed)], ..Rules::default() }))
    }

    /// Reads a file in the format of containers-policy.json(5).
    ///
    /// The keys that it names by path are read when a rule with them is applied.
    ///
    /// # Errors
    ///
    /// [`TrustError::Policy`]: the file cannot be read, or has a type or a field that is not known.
    pub fn read(path: &Utf8Path) -> Result<Self, TrustError> {
        let policy = escape_text(path.as_str());
        let json = read_small(path, MAX_POLICY_BYTES)
            .map_err(|reason| TrustError::Policy { policy: policy.clone(), reason })?;
        Self::parse(&json, path.as_str())
    }

    /// Returns the policy in `json`. `name` stands for it in errors.
    ///
    /// # Errors
    ///
    /// [`TrustError::Policy`].
    pub fn parse(json: &[u8], name: &str) -> Result<Self, TrustError> {
        let policy = escape_text(name);
        match parse_policy(json) {
            Ok((default, transports)) => Ok(Self(Arc::new(Rules { name: policy, default, transports }))),
            Err(reason) => Err(TrustError::Policy { policy, reason }),
        }
    }

    /// Returns the name for messages.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    /// Returns the rule for a reference: that of the longest scope, else that of the transport, else the
    /// default.
    pub(super) fn rule_for(&self, reference: &Reference) -> AppliedRule<'_> {
        let (transport, scopes) = scopes_of(reference);
        if let Some(rules) = self.0.transports.get(&transport) {
            for scope in scopes.iter().map(String::as_str).chain([""]) {
                if let Some(requirements) = rules.get(scope) {
                    return AppliedRule {
                        requirements,
                        scope: format!("{transport}:{}", escape_text(scope)),
                    };
                }
            }
        }
        AppliedRule { requirements: &self.0.default, scope: "default".to_owned() }
    }
}
