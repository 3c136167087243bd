//! How a process that runs or reads a ledger takes memory from the operating system.

/// Keeps the memory of this process in pages of the ordinary size. Batches are megabytes that come and
/// go: the system clears a huge page whole for the little of it that is written, over and over. A
/// process that embeds a node decides for itself; nothing depends on it but speed. Call it first.
pub fn use_ordinary_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the system goes on with huge pages");
    }
}
