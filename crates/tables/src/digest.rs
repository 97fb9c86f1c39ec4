//! SHA-256 over typed, length-prefixed parts: names stage outputs, checks files, keys random streams.

use sha2::{Digest as _, Sha256};

/// A digest under construction.
#[derive(Debug, Clone)]
pub struct Digest(Sha256);

impl Digest {
    /// Starts a digest for one purpose, so equal parts under different purposes differ.
    pub fn new(purpose: &str) -> Self {
        Digest(Sha256::new()).text(purpose)
    }
    /// Adds bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.push(bytes);
        self
    }
    /// Adds a text.
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }
    /// Adds a number.
    pub fn number(self, number: u64) -> Self {
        self.bytes(&number.to_le_bytes())
    }
    /// Adds numbers, each as its bytes (`to_le_bytes`), and how many there are.
    pub fn list<const BYTES: usize>(mut self, numbers: impl ExactSizeIterator<Item = [u8; BYTES]>) -> Self {
        self.0.update((numbers.len() as u64).to_le_bytes());
        numbers.for_each(|number| self.0.update(number));
        self
    }
    /// Adds bytes in place (for loops).
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
    /// The 32 bytes.
    pub fn finish_bytes(self) -> [u8; 32] {
        self.0.finalize().into()
    }
    /// The digest as 64 hexadecimal digits.
    pub fn finish(self) -> String {
        self.finish_bytes().iter().map(|b| format!("{b:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_separated() {
        assert_ne!(Digest::new("x").text("ab").text("c").finish(), Digest::new("x").text("a").text("bc").finish());
        assert_eq!(Digest::new("x").finish().len(), 64);
        let lists = |a: &[u32], b: &[u32]| {
            let bytes = |list: &[u32]| list.iter().map(|n| n.to_le_bytes()).collect::<Vec<_>>();
            Digest::new("x").list(bytes(a).into_iter()).list(bytes(b).into_iter()).finish()
        };
        assert_ne!(lists(&[1, 2], &[3]), lists(&[1], &[2, 3]));
    }
}
