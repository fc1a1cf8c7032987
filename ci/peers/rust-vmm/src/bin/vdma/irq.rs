// SPDX-License-Identifier: BSD-3-Clause
//! The vectors of MSI-X: their descriptors, masks, and what is pending. DATA_BOOL does not get
//! here: the crate refuses it. Signalling never waits.

use crate::memory::refused;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use vfio_bindings::bindings::vfio::*;

pub const VECTORS: usize = 8;
pub const FLAGS: u32 = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE;

/// Places of the descriptors of a vector.
const TRIGGER: usize = 0;
const ON_MASK: usize = 1;
const ON_UNMASK: usize = 2;

#[derive(Default)]
struct Vector {
    files: [Option<File>; 3],
    masked: bool,
    pending: bool,
}

#[derive(Default)]
pub struct Irqs([Vector; VECTORS]);

fn poll(file: &File) -> i16 {
    let mut asked = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: one pollfd, and it outlives the call.
    match unsafe { libc::poll(&mut asked, 1, 0) } {
        0.. => asked.revents,
        _ => libc::POLLERR,
    }
}

fn signal(file: &Option<File>) {
    if let Some(mut file) = file.as_ref() {
        if poll(file) & libc::POLLOUT != 0 {
            // One that can not be signalled any more loses it.
            let _ = file.write(&1u64.to_ne_bytes());
        }
    }
}

/// An eventfd, which takes a zero without a change, or a pipe that can be written.
fn can_signal(file: &File) -> bool {
    // SAFETY: F_GETFL takes no pointer.
    let flags = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFL) };
    if flags < 0 || flags & libc::O_PATH != 0 || flags & libc::O_ACCMODE == libc::O_RDONLY {
        return false;
    }
    let kind = match file.metadata() {
        Ok(metadata) => metadata.file_type(),
        Err(_) => return false,
    };
    if kind.is_fifo() {
        return true;
    }
    let ordinary = kind.is_file() || kind.is_dir() || kind.is_socket() || kind.is_char_device();
    let mut writer = file;
    !ordinary && poll(file) & libc::POLLERR == 0 && writer.write(&0u64.to_ne_bytes()).is_ok()
}

fn one_of(flags: u32, mask: u32) -> bool {
    (flags & mask).count_ones() == 1
}

impl Vector {
    fn mask(&mut self) {
        if !self.masked {
            self.masked = true;
            signal(&self.files[ON_MASK]);
        }
    }

    fn unmask(&mut self) {
        if self.masked {
            self.masked = false;
            signal(&self.files[ON_UNMASK]);
            if self.pending {
                self.fire();
            }
        }
    }

    fn fire(&mut self) {
        if self.files[TRIGGER].is_some() {
            self.pending = self.masked;
            if !self.masked {
                signal(&self.files[TRIGGER]);
            }
        }
    }

    fn assign(&mut self, role: usize, file: Option<File>) {
        if role == TRIGGER && file.is_none() {
            self.pending = false;
        }
        self.files[role] = file;
    }
}

impl Irqs {
    /// False if there is no such vector.
    pub fn raise(&mut self, vector: usize) -> bool {
        self.0.get_mut(vector).map(Vector::fire).is_some()
    }

    /// A reset: assignments and masks are the client's and stay.
    pub fn reset(&mut self) {
        self.0.iter_mut().for_each(|vector| vector.pending = false);
    }

    /// SET_IRQS of MSI-X. An error has changed nothing.
    pub fn set(&mut self, flags: u32, start: u32, files: Vec<File>, count: u32) -> io::Result<()> {
        let known = VFIO_IRQ_SET_DATA_TYPE_MASK | VFIO_IRQ_SET_ACTION_TYPE_MASK;
        if flags & !known != 0
            || !one_of(flags, VFIO_IRQ_SET_DATA_TYPE_MASK)
            || !one_of(flags, VFIO_IRQ_SET_ACTION_TYPE_MASK)
        {
            return Err(refused(libc::EINVAL));
        }
        let (start, count) = (start as usize, count as usize);
        if start > VECTORS || count > VECTORS - start {
            return Err(refused(libc::EINVAL));
        }
        let vectors = &mut self.0[start..start + count];
        if flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 {
            return assign(vectors, role_of(flags), files);
        }
        if !files.is_empty() {
            return Err(refused(libc::EINVAL));
        }
        match (count, start, flags & VFIO_IRQ_SET_ACTION_TRIGGER) {
            (0, 0, VFIO_IRQ_SET_ACTION_TRIGGER) => *self = Irqs::default(),
            (0, _, _) => return Err(refused(libc::EINVAL)),
            _ => vectors.iter_mut().for_each(|vector| act(vector, flags)),
        }
        Ok(())
    }
}

fn role_of(flags: u32) -> usize {
    match flags & VFIO_IRQ_SET_ACTION_TYPE_MASK {
        VFIO_IRQ_SET_ACTION_MASK => ON_MASK,
        VFIO_IRQ_SET_ACTION_UNMASK => ON_UNMASK,
        _ => TRIGGER,
    }
}

fn act(vector: &mut Vector, flags: u32) {
    match role_of(flags) {
        ON_MASK => vector.mask(),
        ON_UNMASK => vector.unmask(),
        _ => vector.fire(),
    }
}

/// One descriptor for each vector, or none at all, which takes theirs away.
fn assign(vectors: &mut [Vector], role: usize, files: Vec<File>) -> io::Result<()> {
    let fits = files.is_empty() || files.len() == vectors.len();
    if vectors.is_empty() || !fits || !files.iter().all(can_signal) {
        return Err(refused(libc::EINVAL));
    }
    let mut files = files.into_iter();
    vectors.iter_mut().for_each(|vector| vector.assign(role, files.next()));
    Ok(())
}
