//! The kernel's command line, `/proc/cmdline`.

/// The parameters that the kernel was started with.
///
/// ```
/// use banger_guest::config::KernelCommandLine;
///
/// let line = KernelCommandLine::parse("root=/dev/vda banger.hostname=\"a b\" quiet banger.net.dns=::1");
/// assert_eq!(line.value("banger.hostname"), Some("a b"));
/// assert_eq!(line.value("quiet"), Some(""));
/// assert_eq!(line.value("ip"), None);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelCommandLine {
    parameters: Vec<(String, String)>,
}

impl KernelCommandLine {
    /// Splits a line as the kernel does: at white space outside double quotes, and at the first `=`. Words
    /// after `--` are for init, and are skipped.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let mut parameters = Vec::new();
        let mut quoted = false;
        for word in line.split(|character: char| {
            quoted ^= character == '"';
            character.is_ascii_whitespace() && !quoted
        }) {
            if word == "--" {
                break;
            }
            let word = word.replace('"', "");
            if word.is_empty() {
                continue;
            }
            let (key, value) = word.split_once('=').unwrap_or((&word, ""));
            parameters.push((key.to_owned(), value.to_owned()));
        }
        Self { parameters }
    }

    /// Returns the last value of a parameter; empty if it has no value.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Iterates over all parameters and their values, in the order of the line.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns every value of a parameter; values are split at commas.
    pub fn list<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters
            .iter()
            .filter(move |(name, _)| name == key)
            .flat_map(|(_, value)| value.split(','))
            .filter(|value| !value.is_empty())
    }
}
