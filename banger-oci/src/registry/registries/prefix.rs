//! Prefixes of `[[registry]]` tables, and names that move to another location.

/// Returns how much of the name `name` the prefix covers: `None` if it does not fit.
///
/// `example.com/a` fits `example.com/a` and what follows it behind `/`, `:` or `@`. `*.example.com` fits each host
/// below example.com.
pub(super) fn covered_len(name: &str, prefix: &str) -> Option<usize> {
    let end = match prefix.strip_prefix('*') {
        Some(domain) => {
            let host_len = name.find('/').unwrap_or(name.len());
            let host = &name[..host_len];
            // The part of the host before its port.
            let at = host.find(domain).filter(|at| *at > 0)?;
            at + domain.len()
        }
        None => name.starts_with(prefix).then_some(prefix.len())?,
    };
    let is_end = matches!(name.as_bytes().get(end), None | Some(b'/' | b':' | b'@'));
    is_end.then_some(end)
}

/// Checks a prefix or a location: `HOST[:PORT][/PATH]`, without a scheme.
pub(super) fn check(text: &str, may_have_wildcard: bool) -> Result<String, String> {
    if text.contains("://") {
        return Err(format!(
            "`{text}` begins with a scheme: leave it out, and write `insecure` for plain http"
        ));
    }
    let text = text.trim_end_matches('/');
    let host = text.split('/').next().unwrap_or_default();
    if let Some(domain) = text.strip_prefix('*') {
        let is_domain = domain.len() > 1 && domain.starts_with('.') && !domain[1..].contains(['*', '/']);
        return match may_have_wildcard && is_domain {
            true => Ok(text.to_owned()),
            false if may_have_wildcard => Err(format!("`{text}` has to be `*.` and a domain")),
            false => Err(format!("`{text}` has a wildcard, which only a prefix may have")),
        };
    }
    if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '*') {
        return Err(format!("`{text}` is not a registry with a path"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (prefix, name, covered) in [
            ("example.com", "example.com/a/b:1", Some(11)),
            ("example.com", "example.com:5000/a", Some(11)),
            ("example.com:5000", "example.com:5000/a", Some(16)),
            ("example.com", "example.community/a", None),
            ("example.com/a", "example.com/a/b", Some(13)),
            ("example.com/a", "example.com/a:1", Some(13)),
            ("example.com/a", "example.com/ab", None),
            ("example.com/a:1", "example.com/a:1", Some(15)),
            ("example.com/a:1", "example.com/a:12", None),
            ("*.example.com", "one.example.com/a", Some(15)),
            ("*.example.com", "a.b.example.com/a", Some(15)),
            ("*.example.com", "one.example.com:5000/a", Some(15)),
            ("*.example.com", "example.com/a", None),
            ("*.example.com", "one.example.community/a", None),
            ("*.example.com", "r.io/one.example.com/a", None),
        ] {
            assert_eq!(covered_len(name, prefix), covered, "{prefix} {name}");
        }
    }

    #[test]
    fn bad_places() {
        for (text, wildcard) in [
            ("https://r.io", false),
            ("*.r.io", false),
            ("*", true),
            ("*r.io", true),
            ("*.r.io/x", true),
            ("*.a.*.io", true),
            ("a.*.io", true),
            ("", false),
            ("r.io/a b", false),
        ] {
            assert!(check(text, wildcard).is_err(), "{text}");
        }
        assert_eq!(check("r.io/a/", false).as_deref(), Ok("r.io/a"));
        assert_eq!(check("*.r.io", true).as_deref(), Ok("*.r.io"));
    }
}
