//! Redis's glob patterns: `*`, `?`, `[a-z]`, `[^a]`, `\x`.

/// Whether letters' case matters (ASCII only).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `a` matches only `a`.
    Sensitive,
    /// `a` matches `A`.
    Insensitive,
}

/// Does `pattern` match the whole of `text`?
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let _ = (pattern, text, case);
    todo!()
}
