//! The use of a repository, which a token must allow: pulls or pushes.

/// The use of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum RepositoryUse {
    /// Content is fetched.
    #[default]
    Pull,
    /// Content is sent.
    Push {
        /// Another repository of the registry, which may have blobs already.
        mount_from: Option<String>,
    },
}

impl RepositoryUse {
    /// Returns the scopes of a token for `repository`, separated by spaces (distribution's token specification).
    /// `asked` has the scopes of the challenge.
    pub(crate) fn scope(&self, repository: &str, asked: Option<String>) -> String {
        let Self::Push { mount_from } = self else {
            return asked.unwrap_or_else(|| match repository {
                // A login asks for no repository.
                "" => String::new(),
                repository => format!("repository:{repository}:pull"),
            });
        };
        // The first challenge may be that of a HEAD, and all requests share one token.
        let mut scopes = vec![format!("repository:{repository}:pull,push")];
        scopes.extend(mount_from.as_ref().map(|source| format!("repository:{source}:pull")));
        for scope in asked.unwrap_or_default().split(' ').filter(|scope| !scope.is_empty()) {
            if !scopes.iter().any(|known| covers(known, scope)) {
                scopes.push(scope.to_owned());
            }
        }
        scopes.join(" ")
    }
}

/// Returns whether a scope allows everything that `other` asks for.
fn covers(scope: &str, other: &str) -> bool {
    match (scope.rsplit_once(':'), other.rsplit_once(':')) {
        (Some((resource, actions)), Some((other_resource, asked))) => {
            resource == other_resource
                && asked.split(',').all(|action| actions.split(',').any(|known| known == action))
        }
        _ => scope == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_asks_for_all_that_it_will_need() {
        let push = RepositoryUse::Push { mount_from: None };
        let mount = RepositoryUse::Push { mount_from: Some("b/c".to_owned()) };
        for (repository_use, asked, scope) in [
            (&RepositoryUse::Pull, None, "repository:a:pull"),
            (&RepositoryUse::Pull, Some("x:y:z"), "x:y:z"),
            (&push, None, "repository:a:pull,push"),
            (&push, Some("repository:a:pull"), "repository:a:pull,push"),
            (&push, Some("repository:a:push,pull"), "repository:a:pull,push"),
            (&push, Some("repository:a:*"), "repository:a:pull,push repository:a:*"),
            (&push, Some("repository:a/b:pull"), "repository:a:pull,push repository:a/b:pull"),
            (&mount, Some("repository:b/c:pull"), "repository:a:pull,push repository:b/c:pull"),
        ] {
            assert_eq!(repository_use.scope("a", asked.map(str::to_owned)), scope);
        }
        assert_eq!(RepositoryUse::Pull.scope("", None), "");
    }
}
