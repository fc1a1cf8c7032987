// SPDX-License-Identifier: BSD-3-Clause
//! The test device: BAR0 with its registers, BAR2 with the side door, the configuration space.

use crate::config::{self, Config};
use crate::env::{crc, Env, Event, UNMAPS};
use crate::irq::{Irqs, VECTORS};
use crate::memory::{refused, Table};
use crate::slot::Slot;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use vfio_bindings::bindings::vfio::*;

pub const BAR0_SIZE: u64 = 0x20000;
pub const BAR2_SIZE: u64 = 0x1000;
const SLOTS: usize = 8;
/// Between two looks at the side door: nothing tells that the client has stored to it.
const DOOR: Duration = Duration::from_millis(2);
const DOOR_STATE: u64 = 0x40;

const MAGIC: u32 = 0x414d_4456;
const INFO: u32 = 1 << 16 | (SLOTS as u32) << 8 | 16;
/// DMA by copying, and the side door.
const CAPS: u32 = 1 << 0 | 1 << 4;
const PR_TIMEOUT: u32 = 60000;
const FREEZE: u32 = 2;

/// Places of the registers in BAR0, by bytes.
const GCTL: usize = 0x0c;
const IRQ: usize = 0x10;
const CKOFF: usize = 0x14;
const GO: usize = 0x50;
const SLOT: usize = 0x100;
const VIEW: usize = 0x300;
const VIEWS_END: usize = 0x400;
const RING: usize = 0x800;
const RING_END: usize = 0x1000;
const TABLE: usize = 0x2000;
const TABLE_END: usize = TABLE + 16 * VECTORS;
const PBA: usize = 0x3000;
const BUFFER: u64 = 0x10000;

pub struct Device {
    env: Env,
    slots: Vec<Slot>,
    config: Config,
    door: File,
    shown: [u32; SLOTS],
    gctl: u32,
    check: [u32; 2],
    pr_timeout: u32,
    msix: [u32; 4 * VECTORS],
}

fn vectors_masked() -> [u32; 4 * VECTORS] {
    std::array::from_fn(|i| u32::from(i % 4 == 3))
}

fn is_register(at: usize) -> bool {
    matches!(at, 0..=0x57 | SLOT..VIEWS_END | RING..RING_END | TABLE..TABLE_END)
        || (PBA..PBA + 8).contains(&at)
}

/// An access to BAR0 in front of the buffer: one or two whole registers.
fn check_access(offset: u64, size: usize) -> io::Result<()> {
    let aligned = matches!(size, 4 | 8) && offset % size as u64 == 0;
    if aligned && (0..size).step_by(4).all(|i| is_register(offset as usize + i)) {
        Ok(())
    } else {
        Err(refused(libc::EINVAL))
    }
}

fn word(data: &[u8]) -> u32 {
    u32::from_ne_bytes([data[0], data[1], data[2], data[3]])
}

impl Device {
    /// `door` is the file of BAR2, all 0.
    pub fn new(door: File) -> Self {
        Device {
            env: Env::new(),
            slots: (0..SLOTS).map(Slot::new).collect(),
            config: Config::new(),
            door,
            shown: [0; SLOTS],
            gctl: 0,
            check: [0; 2],
            pr_timeout: PR_TIMEOUT,
            msix: vectors_masked(),
        }
    }

    // ---- what the client leaves, and reset ----

    pub fn reset(&mut self) -> io::Result<()> {
        self.stop();
        let fresh = Device::new(self.door.try_clone()?);
        let old = std::mem::replace(self, fresh);
        self.env.table = old.env.table;
        self.env.irqs = old.env.irqs;
        self.env.irqs.reset();
        self.env.event(Event::Reset, 0, 0);
        self.door.write_all_at(&[0; BAR2_SIZE as usize], 0)
    }

    /// The client is gone.
    pub fn detach(&mut self) {
        self.stop();
        self.show();
        self.env.table.clear();
        self.env.irqs = Irqs::default();
    }

    fn stop(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.abort(&mut self.env, true));
    }

    // ---- memory and interrupts ----

    pub fn table(&mut self) -> &mut Table {
        &mut self.env.table
    }

    pub fn irqs(&mut self) -> &mut Irqs {
        &mut self.env.irqs
    }

    /// The range has left the table. What holds it begins to let go.
    pub fn unmap(&mut self, first: u64, last: u64) {
        self.env.counters[UNMAPS] += 1;
        self.env.event(Event::UnmapBegin, 0, first);
        self.slots.iter_mut().for_each(|slot| slot.unmap(&mut self.env, first, last));
    }

    pub fn uses(&self, first: u64, last: u64) -> bool {
        self.slots.iter().any(|slot| slot.uses(first, last))
    }

    /// It took too long.
    pub fn abort(&mut self, first: u64, last: u64) {
        for slot in self.slots.iter_mut().filter(|slot| slot.uses(first, last)) {
            slot.abort(&mut self.env, false);
        }
    }

    pub fn unmapped(&mut self, first: u64) {
        self.env.event(Event::UnmapQuiet, 0, first);
        self.slots.iter_mut().for_each(Slot::quiet);
        self.show();
    }

    // ---- the engine ----

    pub fn run(&mut self) {
        if self.slots.iter().any(Slot::is_held) {
            self.look_at_door();
        }
        for slot in &mut self.slots {
            if self.gctl & FREEZE == 0 {
                slot.begin(&mut self.env);
            }
            slot.run(&mut self.env);
        }
        self.show();
    }

    /// When run() is needed though nothing happens.
    pub fn due(&self) -> Option<Duration> {
        if self.slots.iter().any(Slot::is_running) {
            return Some(Duration::ZERO);
        }
        let now = Instant::now();
        let drains = self.slots.iter().filter_map(|slot| slot.drain_at());
        let door = self.slots.iter().any(Slot::is_held).then_some(DOOR);
        drains.map(|at| at.saturating_duration_since(now)).chain(door).min()
    }

    /// Takes the codes that the client has stored, each once.
    fn look_at_door(&mut self) {
        let mut codes = [0; 4 * SLOTS];
        if self.door.read_exact_at(&mut codes, 0).is_err() {
            return;
        }
        for (number, code) in codes.chunks_exact(4).map(word).enumerate() {
            if code != 0 {
                self.show_at(4 * number as u64, 0);
                self.slots[number].step(&mut self.env, code);
            }
        }
    }

    fn show_at(&self, at: u64, value: u32) {
        if let Err(error) = self.door.write_all_at(&value.to_ne_bytes(), at) {
            eprintln!("the side door can not be written: {error}");
        }
    }

    fn show(&mut self) {
        for number in 0..SLOTS {
            let status = self.slots[number].status();
            if self.shown[number] != status {
                self.shown[number] = status;
                self.show_at(DOOR_STATE + 4 * number as u64, status);
            }
        }
    }

    // ---- regions ----

    pub fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.check(region, offset, data.len())?;
        match region {
            _ if data.is_empty() => Ok(()),
            VFIO_PCI_BAR2_REGION_INDEX => self.door.read_exact_at(data, offset),
            VFIO_PCI_CONFIG_REGION_INDEX => {
                self.config.read(offset as usize, data);
                Ok(())
            }
            _ if offset >= BUFFER => {
                let at = (offset - BUFFER) as usize;
                data.copy_from_slice(&self.env.buffer[at..at + data.len()]);
                Ok(())
            }
            _ => {
                check_access(offset, data.len())?;
                for (at, four) in (offset as usize..).step_by(4).zip(data.chunks_exact_mut(4)) {
                    four.copy_from_slice(&self.load(at)?.to_ne_bytes());
                }
                Ok(())
            }
        }
    }

    pub fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(region, offset, data.len())?;
        match region {
            _ if data.is_empty() => Ok(()),
            VFIO_PCI_BAR2_REGION_INDEX => self.door.write_all_at(data, offset),
            VFIO_PCI_CONFIG_REGION_INDEX => match self.config.write(offset as usize, data) {
                true => self.reset(),
                false => Ok(()),
            },
            _ if offset >= BUFFER => {
                let at = (offset - BUFFER) as usize;
                self.env.buffer[at..at + data.len()].copy_from_slice(data);
                Ok(())
            }
            _ => {
                check_access(offset, data.len())?;
                for (at, four) in (offset as usize..).step_by(4).zip(data.chunks_exact(4)) {
                    self.store(at, word(four))?;
                }
                Ok(())
            }
        }
    }

    fn check(&self, region: u32, offset: u64, size: usize) -> io::Result<()> {
        let whole = match region {
            VFIO_PCI_BAR0_REGION_INDEX => BAR0_SIZE,
            VFIO_PCI_BAR2_REGION_INDEX => BAR2_SIZE,
            VFIO_PCI_CONFIG_REGION_INDEX => config::SIZE as u64,
            _ => return Err(refused(libc::EINVAL)),
        };
        match offset.checked_add(size as u64) {
            Some(end) if end <= whole => Ok(()),
            _ => Err(refused(libc::EINVAL)),
        }
    }

    fn load(&self, at: usize) -> io::Result<u32> {
        Ok(match at {
            0x00 => MAGIC,
            0x04 => INFO,
            0x08 => CAPS,
            GCTL => self.gctl,
            CKOFF | 0x18 => self.check[(at - CKOFF) / 4],
            0x1c => return self.checksum(),
            0x20 => self.pr_timeout,
            0x24 => self.env.drain_ms,
            0x28..=0x4f => self.env.counters[(at - 0x28) / 4],
            0x54 => self.env.head,
            SLOT..VIEW => self.slots[(at - SLOT) / 0x40].load(at % 0x40 / 4),
            VIEW..VIEWS_END => self.slots[(at - VIEW) / 0x20].view(at % 0x20 / 4),
            RING..RING_END => word(&self.env.ring[at - RING..]),
            TABLE..TABLE_END => self.msix[(at - TABLE) / 4],
            _ => 0,
        })
    }

    fn checksum(&self) -> io::Result<u32> {
        let [offset, size] = self.check.map(|number| number as usize);
        let end = offset.checked_add(size).ok_or_else(|| refused(libc::EINVAL))?;
        let part = self.env.buffer.get(offset..end).ok_or_else(|| refused(libc::EINVAL))?;
        Ok(crc(0, part))
    }

    fn store(&mut self, at: usize, value: u32) -> io::Result<()> {
        match at {
            GCTL => self.gctl = value & 3,
            IRQ => return self.raise(value),
            CKOFF | 0x18 => self.check[(at - CKOFF) / 4] = value,
            0x20 => self.pr_timeout = value,
            0x24 => self.env.drain_ms = value,
            GO => (0..SLOTS).filter(|n| value & 1 << n != 0).for_each(|n| self.slots[n].go()),
            SLOT..VIEW => self.slots[(at - SLOT) / 0x40].store(&mut self.env, at % 0x40 / 4, value),
            TABLE..TABLE_END => self.msix[(at - TABLE) / 4] = value,
            _ => (),
        }
        Ok(())
    }

    /// A vector of MSI-X, or (index + 1) << 16 | vector; there is no other index.
    fn raise(&mut self, value: u32) -> io::Result<()> {
        let index = (value >> 16).checked_sub(1).unwrap_or(VFIO_PCI_MSIX_IRQ_INDEX);
        if index == VFIO_PCI_MSIX_IRQ_INDEX && self.env.irqs.raise(value as usize & 0xffff) {
            Ok(())
        } else {
            Err(refused(libc::EINVAL))
        }
    }
}
