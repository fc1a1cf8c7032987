// SPDX-License-Identifier: BSD-3-Clause
//! The test device vdma behind the server of the `vfio_user` crate: `vdma SOCKET`. It serves one
//! client after the other.
//!
//! The crate handles one command at a time and calls the device before it replies, so an operation
//! runs within the write that starts it, up to its first hold point. What goes on without a command
//! (the side door, draining, long operations) is done by a thread. DMA_UNMAP waits in its call.

mod config;
mod device;
mod env;
mod irq;
mod memory;
mod slot;

use device::{Device, BAR0_SIZE, BAR2_SIZE};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use vfio_bindings::bindings::vfio::*;
use vfio_user::{
    DmaMapFlags, DmaUnmapFlags, IrqInfo, Server, ServerBackend, ServerRegion, SparseArea,
};

/// The longest time that DMA may delay a DMA_UNMAP.
const T_DRAIN: Duration = Duration::from_secs(30);

/// For which the thread stands back when a command wants the device.
const TURN: Duration = Duration::from_millis(1);

/// The device, and that something has happened to it.
struct Shared {
    device: Mutex<Device>,
    news: Condvar,
    commands: AtomicUsize, // that want the device
}

impl Shared {
    /// The device for a command, before the thread goes on.
    fn lock(&self) -> MutexGuard<'_, Device> {
        self.commands.fetch_add(1, Ordering::SeqCst);
        let device = self.device.lock().expect("no thread panics with the device");
        self.commands.fetch_sub(1, Ordering::SeqCst);
        device
    }

    /// Releases the device until there is news, or for that long.
    fn wait<'a>(
        &self,
        device: MutexGuard<'a, Device>,
        time: Option<Duration>,
    ) -> MutexGuard<'a, Device> {
        let forever = Duration::from_secs(3600);
        self.news.wait_timeout(device, time.unwrap_or(forever)).expect("as in lock").0
    }

    /// The thread of what goes on without a command.
    fn go_on(&self) {
        let mut device = self.lock();
        loop {
            let due = device.due();
            if due != Some(Duration::ZERO) {
                device = self.wait(device, due);
            }
            device.run();
            self.news.notify_all();
            while self.commands.load(Ordering::SeqCst) > 0 {
                device = self.wait(device, Some(TURN));
            }
        }
    }
}

struct Backend(Arc<Shared>);

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.0.lock().read(region, offset, data)
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut device = self.0.lock();
        device.write(region, offset, data)?;
        device.run();
        if device.due().is_some() {
            self.0.news.notify_all();
        }
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        let backing = fd.map(|file| (file, offset));
        self.0.lock().table().map(flags.bits(), address, size, backing)
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        let mut device = self.0.lock();
        if !flags.is_empty() {
            return Err(memory::refused(libc::EINVAL));
        }
        let last = device.table().unmap(address, size)?;
        let end = Instant::now() + T_DRAIN;
        device.unmap(address, last);
        self.0.news.notify_all();
        while device.uses(address, last) {
            device = self.0.wait(device, Some(end.saturating_duration_since(Instant::now())));
            if Instant::now() >= end {
                device.abort(address, last);
            }
        }
        device.unmapped(address);
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.0.lock().reset()
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        match index {
            VFIO_PCI_MSIX_IRQ_INDEX => self.0.lock().irqs().set(flags, start, fds, count),
            _ => Err(memory::refused(libc::EINVAL)),
        }
    }
}

/// A region; the crate passes its descriptor only along with sparse areas.
fn region(index: u32, door: &File) -> ServerRegion {
    let rw = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
    let (size, flags) = match index {
        VFIO_PCI_BAR0_REGION_INDEX => (BAR0_SIZE, rw),
        VFIO_PCI_BAR2_REGION_INDEX => (BAR2_SIZE, rw | VFIO_REGION_INFO_FLAG_MMAP),
        VFIO_PCI_CONFIG_REGION_INDEX => (config::SIZE as u64, rw),
        _ => (0, 0),
    };
    let mappable = flags & VFIO_REGION_INFO_FLAG_MMAP != 0;
    let whole = SparseArea { area: vfio_region_sparse_mmap_area { offset: 0, size } };
    ServerRegion {
        region_info: vfio_region_info {
            argsz: std::mem::size_of::<vfio_region_info>() as u32,
            flags,
            index,
            size,
            ..Default::default()
        },
        sparse_areas: if mappable { vec![whole] } else { Vec::new() },
        mmap_fd: mappable.then(|| door.as_raw_fd()),
    }
}

fn irq(index: u32) -> IrqInfo {
    match index {
        VFIO_PCI_MSIX_IRQ_INDEX => IrqInfo { index, flags: irq::FLAGS, count: irq::VECTORS as u32 },
        _ => IrqInfo { index, flags: 0, count: 0 },
    }
}

/// The page of BAR2, which clients can map.
fn make_door() -> io::Result<File> {
    // SAFETY: the name is a C string, and the descriptor is ours alone.
    let file = unsafe {
        match libc::memfd_create(c"vdma-bar2".as_ptr(), libc::MFD_CLOEXEC) {
            fd @ 0.. => File::from_raw_fd(fd),
            _ => return Err(io::Error::last_os_error()),
        }
    };
    file.set_len(BAR2_SIZE)?;
    Ok(file)
}

/// Starts the thread, and waits for it: whoever finds the socket finds a server that is complete.
fn start_thread(shared: &Arc<Shared>) {
    let (mover, begun) = (shared.clone(), Arc::new(Barrier::new(2)));
    let begins = begun.clone();
    std::thread::spawn(move || {
        begins.wait();
        mover.go_on();
    });
    begun.wait();
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: vdma SOCKET")?;
    let door = make_door()?;
    let shared = Arc::new(Shared {
        device: Mutex::new(Device::new(door.try_clone()?)),
        news: Condvar::new(),
        commands: AtomicUsize::new(0),
    });
    let regions = (0..VFIO_PCI_NUM_REGIONS).map(|index| region(index, &door)).collect();
    let irqs = (0..VFIO_PCI_NUM_IRQS).map(irq).collect();
    start_thread(&shared);
    let server = Server::new(Path::new(&path), true, irqs, regions)?;
    loop {
        if let Err(error) = server.run(&mut Backend(shared.clone())) {
            eprintln!("the connection failed: {error}");
        }
        shared.lock().detach();
    }
}
