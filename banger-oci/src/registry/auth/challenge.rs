//! `WWW-Authenticate` headers (RFC 9110, section 11).

use std::collections::BTreeMap;

/// The challenges of registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from a token server.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// User name and password.
    Basic,
}

/// Returns the best challenge in the values of all `WWW-Authenticate` headers: bearer before basic. `None` if
/// the headers offer no known scheme.
pub(crate) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for (scheme, mut parameters) in headers.into_iter().flat_map(parse) {
        match scheme.as_str() {
            "bearer" => {
                if let Some(realm) = parameters.remove("realm") {
                    return Some(Challenge::Bearer {
                        realm,
                        service: parameters.remove("service"),
                        scope: parameters.remove("scope"),
                    });
                }
            }
            "basic" => basic = Some(Challenge::Basic),
            _ => {}
        }
    }
    basic
}

/// Splits a header into its challenges: lowercase scheme, parameters with lowercase names. One
/// header may hold several challenges, and commas separate both these and the parameters.
fn parse(header: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut challenges: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let word_len = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(word_len);
        if word.is_empty() && after.is_empty() {
            return challenges;
        }
        let word = word.to_ascii_lowercase();
        let trimmed = after.trim_start_matches([' ', '\t']);
        match trimmed.strip_prefix('=') {
            Some(value) => {
                let (value, remainder) = parse_value(value.trim_start_matches([' ', '\t']));
                if let Some((_, parameters)) = challenges.last_mut() {
                    // The first of two equal names counts, so that nothing can be overridden.
                    parameters.entry(word).or_insert(value);
                }
                rest = remainder;
            }
            None => {
                challenges.push((word, BTreeMap::new()));
                rest = trimmed;
            }
        }
    }
}

/// A token or a quoted string, and the rest.
fn parse_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let len = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..len].to_owned(), &text[len..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        })
    }

    #[test]
    fn b35_challenges_of_all_shapes() {
        let cases: [(&[&str], Option<Challenge>); 12] = [
            (&[], None),
            (&["Negotiate"], None),
            (&["Basic realm=\"x\""], Some(Challenge::Basic)),
            (&["bAsIc"], Some(Challenge::Basic)),
            (
                &["Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a:pull,push\""],
                bearer("https://a/t", Some("s"), Some("repository:a:pull,push")),
            ),
            (&["BEARER Realm=\"https://a/t\", SERVICE=s"], bearer("https://a/t", Some("s"), None)),
            (&["Basic realm=\"x\"", "bearer realm=\"https://a/t\""], bearer("https://a/t", None, None)),
            (
                &["Basic realm=\"x, y\", Bearer realm=\"https://a/t\", scope=\"p q\""],
                bearer("https://a/t", None, Some("p q")),
            ),
            (
                &["Bearer realm = \"https://a/t\" , service = \"q\\\"q\", Basic realm=\"z\""],
                bearer("https://a/t", Some("q\"q"), None),
            ),
            (&["Negotiate, Bearer service=\"s\", Basic"], Some(Challenge::Basic)),
            (&["Bearer realm=\"https://a/t"], bearer("https://a/t", None, None)),
            (&["Bearer realm=\"https://a/t\",realm=\"https://b/t\""], bearer("https://a/t", None, None)),
        ];
        for (headers, expected) in cases {
            assert_eq!(choose(headers.iter().copied()), expected, "{headers:?}");
        }
    }
}
