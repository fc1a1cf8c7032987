// SPDX-License-Identifier: BSD-3-Clause
//! Memory of the client: the table of its ranges. A range with a file is read and written there by
//! pread and pwrite, which survive a file that becomes shorter. The crate has no way to send
//! DMA_READ and DMA_WRITE, so a range without a file can not be reached.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

pub const READ: u32 = 1;
pub const WRITE: u32 = 2;
const PAGE: u64 = 4096;
/// What a client may count on that is told nothing of max_dma_maps.
const MAX_RANGES: usize = 65535;

pub fn refused(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

struct Range {
    last: u64,
    access: u32,
    backing: Option<(Arc<File>, u64)>,
}

/// Bytes of one range that an operation holds.
pub struct Part {
    pub address: u64,
    pub size: u64,
    file: Arc<File>,
    offset: u64,
}

#[derive(Default)]
pub struct Table(BTreeMap<u64, Range>);

/// Whether the file can be read and written as `access` says, at these offsets, which it has.
fn check_file(file: &File, access: u32, offset: u64, size: u64) -> io::Result<()> {
    // SAFETY: F_GETFL takes no pointer.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    let mode = flags & libc::O_ACCMODE;
    if flags < 0 || flags & libc::O_PATH != 0 {
        return Err(refused(libc::EBADF));
    }
    if access & READ != 0 && mode == libc::O_WRONLY || access & WRITE != 0 && mode == libc::O_RDONLY
    {
        return Err(refused(libc::EACCES));
    }
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused(libc::ENODEV));
    }
    // SAFETY: F_GET_SEALS takes no pointer; files without seals refuse it.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) }.max(0);
    if access & WRITE != 0 && seals & (libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE) != 0 {
        return Err(refused(libc::EPERM));
    }
    match offset.checked_add(size) {
        Some(end) if offset % PAGE == 0 && end <= metadata.len() => Ok(()),
        _ => Err(refused(libc::EINVAL)),
    }
}

/// The last address, if there are such addresses.
fn last_of(address: u64, size: u64) -> io::Result<u64> {
    let last = size.checked_sub(1).and_then(|n| address.checked_add(n));
    match last {
        Some(last) if (address | size) % PAGE == 0 => Ok(last),
        _ => Err(refused(libc::EINVAL)),
    }
}

impl Table {
    fn overlapping(&self, address: u64, last: u64) -> Option<(&u64, &Range)> {
        self.0.range(..=last).next_back().filter(|(_, range)| range.last >= address)
    }

    pub fn map(
        &mut self,
        access: u32,
        address: u64,
        size: u64,
        backing: Option<(File, u64)>,
    ) -> io::Result<()> {
        let last = last_of(address, size)?;
        if access == 0 || access & !(READ | WRITE) != 0 {
            return Err(refused(libc::EINVAL));
        }
        if self.overlapping(address, last).is_some() {
            return Err(refused(libc::EEXIST));
        }
        if self.0.len() == MAX_RANGES {
            return Err(refused(libc::ENOSPC));
        }
        if let Some((file, offset)) = &backing {
            check_file(file, access, *offset, size)?;
        }
        let backing = backing.map(|(file, offset)| (Arc::new(file), offset));
        self.0.insert(address, Range { last, access, backing });
        Ok(())
    }

    /// Takes a range out of the table, which has to be exactly one of it. Its file is closed when
    /// no part of it is held any more.
    pub fn unmap(&mut self, address: u64, size: u64) -> io::Result<u64> {
        let last = last_of(address, size)?;
        match self.0.get(&address) {
            Some(range) if range.last == last => {
                self.0.remove(&address);
                Ok(last)
            }
            _ => Err(refused(libc::ENOENT)),
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What can be held from this address on, `size` at most; else the reason.
    pub fn hold(&self, access: u32, address: u64, size: u64) -> Result<Part, i32> {
        let (first, range) = self.overlapping(address, address).ok_or(libc::ENOENT)?;
        if range.access & access == 0 {
            return Err(libc::EACCES);
        }
        let (file, base) = range.backing.as_ref().ok_or(libc::ENOTSUP)?;
        Ok(Part {
            address,
            size: size.min(range.last - address + 1),
            file: file.clone(),
            offset: base + (address - first),
        })
    }
}

impl Part {
    /// Bytes from this address on.
    pub fn left(&self, address: u64) -> u64 {
        match address.checked_sub(self.address) {
            Some(at) if at < self.size => self.size - at,
            _ => 0,
        }
    }

    pub fn overlaps(&self, first: u64, last: u64) -> bool {
        self.address <= last && self.address + (self.size - 1) >= first
    }

    /// How much of `size` bytes at that address the file has.
    fn reach(&self, address: u64, size: usize) -> (u64, usize) {
        let at = self.offset + (address - self.address);
        let end = self.file.metadata().map_or(0, |metadata| metadata.len());
        (at, size.min(end.saturating_sub(at) as usize))
    }

    /// Reads, as far as the file goes; how much.
    pub fn read(&self, address: u64, data: &mut [u8]) -> usize {
        let (at, size) = self.reach(address, data.len());
        self.file.read_at(&mut data[..size], at).unwrap_or(0)
    }

    /// Writes, as far as the file goes; how much.
    pub fn write(&self, address: u64, data: &[u8]) -> usize {
        let (at, size) = self.reach(address, data.len());
        self.file.write_at(&data[..size], at).unwrap_or(0)
    }
}
