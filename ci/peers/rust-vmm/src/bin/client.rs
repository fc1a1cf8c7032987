// SPDX-License-Identifier: BSD-3-Clause
//! The client of the `vfio_user` crate before a server with our test device: `client PROGRAM`
//! starts the program and goes through every operation that the client has. A line for each check;
//! exits 1 if one of them failed. Effects are checked and not only results, as this client takes
//! an error reply to DMA_MAP, DMA_UNMAP, SET_IRQS and DEVICE_RESET for a success. It waits for ever
//! for the rest of an error reply to others, so nothing is asked here that has to be refused.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use vfio_bindings::bindings::vfio::*;
use vfio_user::Client;

type Outcome = Result<(), Box<dyn Error>>;

const BAR0: u32 = VFIO_PCI_BAR0_REGION_INDEX;
const BAR2: u32 = VFIO_PCI_BAR2_REGION_INDEX;
const BAR4: u32 = VFIO_PCI_BAR4_REGION_INDEX;
const CONFIG: u32 = VFIO_PCI_CONFIG_REGION_INDEX;
const SINK: u32 = VFIO_PCI_NUM_REGIONS;
const MSIX: u32 = VFIO_PCI_MSIX_IRQ_INDEX;
const VECTORS: u32 = 8;

/// Places of the test device in BAR0; reference-server/README.md describes them.
const IRQ: u64 = 0x10;
const PR_TIMEOUT: u64 = 0x20;
const SLOT: u64 = 0x100;
const BUFFER: u64 = 0x10000;
const READ: u32 = 1;
const WRITE: u32 = 2;
const WITH_IRQ: u32 = 1 << 7;
const DONE: u32 = 6;
const FAULT: u32 = 7;

const BASE: u64 = 0x10_0000;
const SIZE: u64 = 0x4000;
const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

fn require(holds: bool, what: impl Into<String>) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(what.into().into())
    }
}

// ---- the server and its device ----

struct Server {
    child: Child,
    path: PathBuf,
}

impl Server {
    /// The listening socket is the server's standard input, so nobody waits for it to come up.
    fn start(program: &Path) -> Result<Self, Box<dyn Error>> {
        let path = std::env::temp_dir().join(format!("vuc-client-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path)?;
        let child = Command::new(program)
            .arg("--fd=0")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()?;
        Ok(Server { child, path })
    }

    fn connect(&self) -> Result<Client, vfio_user::Error> {
        Client::new(&self.path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already is no trouble.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

fn load(client: &mut Client, region: u32, at: u64) -> Result<u32, vfio_user::Error> {
    let mut word = [0; 4];
    client.region_read(region, at, &mut word)?;
    Ok(u32::from_ne_bytes(word))
}

fn store(client: &mut Client, at: u64, value: u32) -> Result<(), vfio_user::Error> {
    client.region_write(BAR0, at, &value.to_ne_bytes())
}

/// Runs an operation of slot 0 on the client's memory; its state at the end.
fn run(client: &mut Client, command: u32, address: u64, size: u64) -> Result<u32, Box<dyn Error>> {
    for place in [0x08, 0x10] {
        client.region_write(BAR0, SLOT + place, &address.to_ne_bytes())?;
    }
    store(client, SLOT + 0x18, size as u32)?;
    store(client, SLOT, command)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match load(client, BAR0, SLOT + 0x30)? & 0xff {
            state @ DONE.. => return Ok(state),
            _ if Instant::now() > end => return Err("the operation comes to no end".into()),
            _ => (),
        }
    }
}

fn bytes(seed: u64, size: u64) -> Vec<u8> {
    (0..size).map(|i| (seed + i * 7 + i / 251) as u8).collect()
}

fn memory(size: u64) -> Result<File, Box<dyn Error>> {
    // SAFETY: the name is a C string, and the descriptor is ours alone.
    let file = unsafe {
        match libc::memfd_create(c"memory".as_ptr(), libc::MFD_CLOEXEC) {
            fd @ 0.. => File::from_raw_fd(fd),
            _ => return Err(std::io::Error::last_os_error().into()),
        }
    };
    file.set_len(size)?;
    Ok(file)
}

/// The device writes to all of a mapping of `file`, whose part at `offset` shows it, and reads it.
fn moves(client: &mut Client, address: u64, file: &File, offset: u64) -> Outcome {
    let mut seen = vec![0; SIZE as usize];
    let sent = bytes(address >> 12, SIZE);
    client.region_write(BAR0, BUFFER, &sent)?;
    require(run(client, WRITE, address, SIZE)? == DONE, "WRITE failed")?;
    file.read_exact_at(&mut seen, offset)?;
    require(seen == sent, "other bytes were written")?;
    let back = bytes(address >> 13, SIZE);
    file.write_all_at(&back, offset)?;
    require(run(client, READ, address, SIZE)? == DONE, "READ failed")?;
    client.region_read(BAR0, BUFFER, &mut seen)?;
    require(seen == back, "other bytes were read")
}

fn eventfds() -> Result<Vec<File>, Box<dyn Error>> {
    let make = |_| {
        // SAFETY: no pointer; the descriptor is ours alone.
        unsafe {
            match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
                fd @ 0.. => Ok(File::from_raw_fd(fd)),
                _ => Err(std::io::Error::last_os_error().into()),
            }
        }
    };
    (0..VECTORS).map(make).collect()
}

/// How often each was signalled. A round trip before lets the device finish.
fn counts(client: &mut Client, events: &[File]) -> Result<Vec<u64>, Box<dyn Error>> {
    load(client, BAR0, 0)?;
    let count = |mut event: &File| {
        let mut number = [0; 8];
        event.read(&mut number).map_or(0, |_| u64::from_ne_bytes(number))
    };
    Ok(events.iter().map(count).collect())
}

/// Only these vectors were signalled, once.
fn signalled(client: &mut Client, events: &[File], vectors: &[u32]) -> Outcome {
    let wanted: Vec<u64> = (0..VECTORS).map(|n| vectors.contains(&n).into()).collect();
    let came = counts(client, events)?;
    require(came == wanted, format!("{came:?} instead of {wanted:?}"))
}

// ---- checks ----

fn regions(client: &mut Client) -> Outcome {
    for (index, size) in [(BAR0, 0x20000), (BAR2, 0x1000), (BAR4, 8 << 30), (CONFIG, 0x1000)] {
        let region = client.region(index).ok_or("a region is missing")?;
        require(region.size == size, format!("region {index} has {:#x} bytes", region.size))?;
    }
    require(client.region(SINK).is_some(), "the device-specific region is missing")?;
    require(client.region(SINK + 1).is_none(), "there is a region too many")
}

fn capabilities(client: &mut Client) -> Outcome {
    let region = client.region(BAR4).ok_or("no BAR4")?;
    let found: Vec<_> = region.sparse_areas.iter().map(|area| (area.offset, area.size)).collect();
    require(found == [(MIB, MIB), (4 << 30, MIB)], format!("{found:x?}"))?;
    require(region.flags & VFIO_REGION_INFO_FLAG_CAPS != 0, "without CAPS")?;
    require(region.file_offset.is_some(), "without a descriptor")
}

fn mapped_regions(client: &mut Client) -> Outcome {
    for (index, at) in [(BAR2, 0x800), (BAR4, MIB), (BAR4, 4 << 30)] {
        let sent = (at >> 8) as u32 | index;
        let backing = client.region(index).and_then(|region| region.file_offset.as_ref());
        let backing = backing.ok_or("no descriptor")?;
        backing.file().write_all_at(&sent.to_ne_bytes(), backing.start() + at)?;
        require(load(client, index, at)? == sent, format!("it is not that of region {index}"))?;
    }
    Ok(())
}

fn irq_info(client: &mut Client) -> Outcome {
    for (index, count) in [(VFIO_PCI_INTX_IRQ_INDEX, 1), (MSIX, VECTORS)] {
        let info = client.get_irq_info(index)?;
        require((info.index, info.count) == (index, count), format!("{info:?}"))?;
        require(info.flags & VFIO_IRQ_INFO_EVENTFD != 0, format!("{info:?}"))?;
    }
    Ok(())
}

fn reads(client: &mut Client) -> Outcome {
    require(load(client, BAR0, 0)? == 0x414d_4456, "MAGIC is another number")?;
    require(load(client, CONFIG, 0)? == 0x11e9_1234, "vendor and device are others")?;
    let mut byte = [0];
    client.region_read(CONFIG, 0x34, &mut byte)?;
    require(byte != [0], "no capability list")
}

fn writes(client: &mut Client) -> Outcome {
    for size in [1, 2, 3, 4, 8, 4096, 0x10000] {
        let sent = bytes(size, size);
        let mut back = vec![0; size as usize];
        client.region_write(BAR0, BUFFER, &sent)?;
        client.region_read(BAR0, BUFFER, &mut back)?;
        require(back == sent, format!("{size} bytes are not kept"))?;
    }
    Ok(())
}

fn maps(client: &mut Client) -> Outcome {
    let file = memory(4 * SIZE)?;
    for (offset, address) in [(0, BASE), (2 * SIZE, BASE + SIZE), (SIZE, 1 << 40)] {
        client.dma_map(offset, address, SIZE, file.as_raw_fd())?;
    }
    for (offset, address) in [(0, BASE), (2 * SIZE, BASE + SIZE), (SIZE, 1 << 40)] {
        moves(client, address, &file, offset)?;
    }
    let other = memory(SIZE)?;
    client.dma_map(0, BASE, SIZE, other.as_raw_fd())?;
    moves(client, BASE, &file, 0)?;
    for address in [BASE, BASE + SIZE, 1 << 40] {
        client.dma_unmap(address, SIZE)?;
        require(run(client, WRITE, address, SIZE)? == FAULT, "WRITE after DMA_UNMAP")?;
    }
    client.dma_map(0, BASE, SIZE, other.as_raw_fd())?;
    moves(client, BASE, &other, 0)?;
    client.dma_unmap(BASE, SIZE)?;
    Ok(())
}

fn set_irqs(client: &mut Client, data_and_action: u32, start: u32, files: &[File]) -> Outcome {
    let fds: Vec<_> = files.iter().map(File::as_raw_fd).collect();
    let count = if fds.is_empty() { 1 } else { fds.len() as u32 };
    Ok(client.set_irqs(MSIX, data_and_action, start, count, &fds)?)
}

fn interrupts(client: &mut Client) -> Outcome {
    let none = VFIO_IRQ_SET_DATA_NONE;
    let assign = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    let events = eventfds()?;
    set_irqs(client, assign, 0, &events)?;
    for vector in 0..VECTORS {
        store(client, IRQ, vector)?;
        signalled(client, &events, &[vector])?;
    }
    set_irqs(client, none | VFIO_IRQ_SET_ACTION_TRIGGER, 3, &[])?;
    signalled(client, &events, &[3])?;
    set_irqs(client, none | VFIO_IRQ_SET_ACTION_MASK, 2, &[])?;
    store(client, IRQ, 2)?;
    signalled(client, &events, &[])?;
    set_irqs(client, none | VFIO_IRQ_SET_ACTION_UNMASK, 2, &[])?;
    signalled(client, &events, &[2])?;
    set_irqs(client, assign, 1, &[])?;
    store(client, IRQ, 1)?;
    store(client, IRQ, 4)?;
    signalled(client, &events, &[4])?;
    client.set_irqs(MSIX, none | VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, &[])?;
    store(client, IRQ, 4)?;
    signalled(client, &events, &[])
}

fn interrupt_behind_dma(client: &mut Client) -> Outcome {
    let (file, events) = (memory(SIZE)?, eventfds()?);
    client.dma_map(0, BASE, SIZE, file.as_raw_fd())?;
    set_irqs(client, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER, 0, &events)?;
    store(client, SLOT + 4, 5 << 16)?;
    require(run(client, WRITE | WITH_IRQ, BASE, SIZE)? == DONE, "WRITE failed")?;
    signalled(client, &events, &[5])?;
    client.dma_unmap(BASE, SIZE)?;
    Ok(())
}

fn reset(client: &mut Client) -> Outcome {
    let file = memory(SIZE)?;
    client.dma_map(0, BASE, SIZE, file.as_raw_fd())?;
    let fresh = load(client, BAR0, PR_TIMEOUT)?;
    store(client, PR_TIMEOUT, !fresh)?;
    require(load(client, BAR0, PR_TIMEOUT)? == !fresh, "the register does not store")?;
    client.reset()?;
    require(load(client, BAR0, PR_TIMEOUT)? == fresh, "it is not as at the start")?;
    require(load(client, BAR2, 0x800)? == 0, "BAR2 is not as at the start")?;
    moves(client, BASE, &file, 0)
}

fn shutdown(client: &mut Client) -> Outcome {
    client.shutdown()?;
    let mut word = [0; 4];
    require(client.region_read(BAR0, 0, &mut word).is_err(), "a read goes on")
}

type Check = fn(&mut Client) -> Outcome;

const CHECKS: &[(&str, Check)] = &[
    ("region info", regions),
    ("region capabilities", capabilities),
    ("descriptors of regions", mapped_regions),
    ("irq info", irq_info),
    ("region read", reads),
    ("region write", writes),
    ("dma map, dma unmap", maps),
    ("set irqs", interrupts),
    ("interrupt behind DMA", interrupt_behind_dma),
    ("device reset", reset),
    ("shutdown", shutdown),
];

/// Says how a check went: whether it was well.
fn told(name: &str, outcome: Outcome) -> bool {
    match &outcome {
        Ok(()) => println!("ok    {name}"),
        Err(error) => println!("FAIL  {name}: {error}"),
    }
    outcome.is_ok()
}

/// All checks, twice: the second client finds the server as the first did.
fn all(program: &Path) -> Result<bool, Box<dyn Error>> {
    let server = Server::start(program)?;
    let mut well = true;
    for who in ["first", "second"] {
        let mut client = server.connect()?;
        println!("ok    {who} client: version, device info");
        for (name, check) in CHECKS {
            well &= told(&format!("{who} client: {name}"), check(&mut client));
        }
    }
    let mut together = [server.connect()?, server.connect()?];
    for client in &mut together {
        well &= told("two clients at a time: region read", reads(client));
    }
    Ok(well)
}

fn main() -> ExitCode {
    let Some(program) = std::env::args_os().nth(1) else {
        eprintln!("usage: client PROGRAM");
        return ExitCode::from(2);
    };
    match all(Path::new(&program)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("FAIL  {error}");
            ExitCode::FAILURE
        }
    }
}
