//! The manifest: which files make up the log, in which order.
//!
//! The format is that of Redis 7, so that its tools and servers read our directory and we read theirs. One line names
//! one file: `file appendonly.aof.1.base.rdb seq 1 type b`. A log is one *base* (everything up to some instant) and the
//! *increments* behind it (what has changed since, in order). *History* is what a rewrite has made superfluous and
//! nobody has deleted yet. Sequence numbers only grow. Pure: text in, text out; [`super::store`] writes it to the disk.

use std::fmt;

use slotway_resp::inline;

/// Bytes of a line at most: longer ones are no manifest.
const LINE_BYTES_MAX: usize = 1024;

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) seq: u64,
}

/// The files of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest {
    pub(crate) base: Option<Entry>,
    pub(crate) history: Vec<Entry>,
    pub(crate) increments: Vec<Entry>,
}

/// Why a text is no manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestError {
    /// From 1; 0: the whole.
    line: usize,
    what: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

/// What a base is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BaseFormat {
    Snapshot,
    Commands,
}

impl BaseFormat {
    fn suffix(self) -> &'static str {
        match self {
            BaseFormat::Snapshot => "rdb",
            BaseFormat::Commands => "aof",
        }
    }
}

/// How files are called: `appenddirname` and `appendfilename`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) directory: String,
    pub(crate) file: String,
}

impl Names {
    /// The name tells people what is in the file; whoever reads it looks into it.
    pub(crate) fn base(&self, seq: u64, format: BaseFormat) -> String {
        format!("{}.{seq}.base.{}", self.file, format.suffix())
    }

    pub(crate) fn increment(&self, seq: u64) -> String {
        format!("{}.{seq}.incr.aof", self.file)
    }

    pub(crate) fn manifest(&self) -> String {
        format!("{}.manifest", self.file)
    }

    pub(crate) fn manifest_on_its_way(&self) -> String {
        format!("temp-{}.manifest", self.file)
    }

    /// The increment of a log whose first base is not written yet.
    pub(crate) fn increment_on_its_way(&self) -> String {
        format!("temp-{}.incr", self.file)
    }

    pub(crate) fn base_on_its_way(&self) -> String {
        format!("temp-rewrite-{}.base", self.file)
    }

    /// Of a file in the log's directory.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }
}

impl Manifest {
    /// Reads a manifest.
    pub(crate) fn parse(text: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        if text.is_empty() {
            return Err(ManifestError { line: 0, what: "the manifest is empty" });
        }
        for (index, line) in text.split_inclusive(|&byte| byte == b'\n').enumerate() {
            manifest.take_line(line).map_err(|what| ManifestError { line: index + 1, what })?;
        }
        Ok(manifest)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let line = match line {
            [b'#', ..] => return Ok(()),
            [whole @ .., b'\n'] if line.len() <= LINE_BYTES_MAX => whole,
            _ => return Err("the line does not end, or is too long"),
        };
        let words = inline::split(line).map_err(|_| "unbalanced quotes")?;
        if words.len() < 6 || !words.len().is_multiple_of(2) {
            return Err("not a list of names and values with file, seq and type");
        }
        let (mut name, mut seq, mut kind) = (None, None, None);
        // Names that are not known may be of a later version.
        for pair in words.chunks_exact(2) {
            match pair[0].to_ascii_lowercase().as_slice() {
                b"file" => name = Some(base_name(&pair[1])?),
                b"seq" => seq = std::str::from_utf8(&pair[1]).ok().and_then(|digits| digits.parse().ok()),
                b"type" => kind = pair[1].first().copied(),
                _ => {}
            }
        }
        let (Some(name), Some(seq), Some(kind)) = (name, seq.filter(|&seq: &u64| seq > 0), kind) else {
            return Err("file, seq or type is missing or invalid");
        };
        let entry = Entry { name, seq };
        match kind {
            b'b' if self.base.is_some() => Err("a second base"),
            b'b' => {
                self.base = Some(entry);
                Ok(())
            }
            b'h' => {
                self.history.push(entry);
                Ok(())
            }
            b'i' if self.increments.last().is_some_and(|last| last.seq >= seq) => {
                Err("an increment whose seq is not greater than that before it")
            }
            b'i' => {
                self.increments.push(entry);
                Ok(())
            }
            _ => Err("an unknown type of file"),
        }
    }

    /// As it stands on the disk.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        let lines = self.base.iter().map(|entry| (entry, 'b'));
        let lines = lines.chain(self.history.iter().map(|entry| (entry, 'h')));
        for (entry, kind) in lines.chain(self.increments.iter().map(|entry| (entry, 'i'))) {
            text.push_str(&format!("file {} seq {} type {kind}\n", quoted(&entry.name), entry.seq));
        }
        text
    }

    /// The sequence number of the next base.
    pub(crate) fn next_base_seq(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.seq) + 1
    }

    /// The sequence number of the next increment.
    pub(crate) fn next_increment_seq(&self) -> u64 {
        self.increments.last().map_or(0, |last| last.seq) + 1
    }

    /// As it is with one more increment.
    pub(crate) fn with_increment(&self, names: &Names) -> Manifest {
        let seq = self.next_increment_seq();
        let mut next = self.clone();
        next.increments.push(Entry { name: names.increment(seq), seq });
        next
    }

    /// As it is when a base has been written that holds everything but what stands in the last `kept` increments.
    pub(crate) fn with_base(&self, names: &Names, format: BaseFormat, kept: usize) -> Manifest {
        let seq = self.next_base_seq();
        let mut next = self.clone();
        let behind = next.increments.split_off(next.increments.len().saturating_sub(kept));
        let done_with = std::mem::replace(&mut next.increments, behind);
        next.history.extend(next.base.replace(Entry { name: names.base(seq, format), seq }));
        next.history.extend(done_with);
        next
    }

    pub(crate) fn without_history(&self) -> Manifest {
        Manifest { history: Vec::new(), ..self.clone() }
    }

    /// What is loaded, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Entry> {
        self.base.iter().chain(&self.increments)
    }
}

/// A name that leads out of the directory is no name of ours.
fn base_name(bytes: &[u8]) -> Result<String, &'static str> {
    let name = std::str::from_utf8(bytes).map_err(|_| "a file name that is not UTF-8")?;
    match name.is_empty() || name.contains(['/', '\\']) {
        true => Err("a file cannot be a path, just a file name"),
        false => Ok(name.to_owned()),
    }
}

/// In quotes if it would not be one word otherwise.
fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    if !name.is_empty() && name.bytes().all(plain) {
        return name.to_owned();
    }
    let mut text = String::from("\"");
    for byte in name.bytes() {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
            b' ' | 0x21..=0x7e => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names { directory: "appendonlydir".into(), file: "appendonly.aof".into() }
    }

    #[test]
    fn a_manifest_of_redis_is_read_and_written_byte_by_byte() {
        let text = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                    file appendonly.aof.1.base.rdb seq 1 type h\n\
                    file appendonly.aof.1.incr.aof seq 1 type h\n\
                    file appendonly.aof.2.incr.aof seq 2 type i\n\
                    file appendonly.aof.3.incr.aof seq 3 type i\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.render(), text);
        assert_eq!((manifest.next_base_seq(), manifest.next_increment_seq()), (3, 4));
        let files: Vec<&str> = manifest.files().map(|entry| entry.name.as_str()).collect();
        assert_eq!(
            files,
            ["appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof", "appendonly.aof.3.incr.aof"]
        );
    }

    #[test]
    fn comments_quotes_and_names_of_later_versions_are_understood() {
        let text = b"# a comment\nseq 7 type i file \"my \\\"log\\\" \\x41.incr\" startoffset 12\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.increments, [Entry { name: "my \"log\" A.incr".into(), seq: 7 }]);
        let again = Manifest::parse(manifest.render().as_bytes()).unwrap();
        assert_eq!(again, manifest);
    }

    #[test]
    fn what_is_no_manifest_is_refused_with_its_line() {
        let long = format!("file {} seq 1 type b\n", "x".repeat(LINE_BYTES_MAX));
        for (text, says) in [
            ("", "empty"),
            ("\n", "line 1: not a list"),
            ("file a seq 1 type b", "does not end"),
            (long.as_str(), "too long"),
            ("file a seq 1\n", "not a list"),
            ("file ../a seq 1 type b\n", "cannot be a path"),
            ("file a seq 0 type b\n", "missing or invalid"),
            ("file a seq x type b\n", "missing or invalid"),
            ("file a seq 1 type z\n", "unknown type"),
            ("file a seq 1 type b\nfile b seq 2 type b\n", "line 2: a second base"),
            ("file a seq 2 type i\nfile b seq 2 type i\n", "line 2: an increment"),
            ("file \"a seq 1 type b\n", "unbalanced"),
        ] {
            let error = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_rewrite_makes_history_of_everything_that_its_base_holds() {
        let mut manifest = Manifest::default().with_increment(&names()).with_increment(&names());
        manifest = manifest.with_base(&names(), BaseFormat::Snapshot, 1);
        assert_eq!(
            manifest.render(),
            "file appendonly.aof.1.base.rdb seq 1 type b\n\
             file appendonly.aof.1.incr.aof seq 1 type h\n\
             file appendonly.aof.2.incr.aof seq 2 type i\n"
        );
        manifest =
            manifest.without_history().with_increment(&names()).with_base(&names(), BaseFormat::Snapshot, 1);
        assert_eq!(
            manifest.render(),
            "file appendonly.aof.2.base.rdb seq 2 type b\n\
             file appendonly.aof.1.base.rdb seq 1 type h\n\
             file appendonly.aof.2.incr.aof seq 2 type h\n\
             file appendonly.aof.3.incr.aof seq 3 type i\n"
        );
        let nothing_kept = manifest.with_base(&names(), BaseFormat::Commands, 0);
        assert!(nothing_kept.increments.is_empty());
    }
}
