// SPDX-License-Identifier: BSD-3-Clause
//! What the slots of the test device share: memory and vectors of the client, the device's buffer,
//! counters, and the ring of events.

use crate::irq::Irqs;
use crate::memory::Table;

pub const BUFFER_SIZE: usize = 0x10000;
pub const EVENTS: usize = 128;

/// Counters, by number.
pub const STARTED: usize = 0;
pub const DONE: usize = 1;
pub const FAULTED: usize = 2;
pub const ABORTED: usize = 3;
pub const UNMAPS: usize = 7;

#[derive(Clone, Copy)]
pub enum Event {
    Start = 1,
    Ref = 2,
    Xlat = 3,
    First = 4,
    Last = 5,
    Retire = 6,
    Report = 7,
    UnmapBegin = 10,
    UnmapQuiet = 11,
    Irq = 12,
    Reset = 13,
}

pub struct Env {
    pub table: Table,
    pub irqs: Irqs,
    pub counters: [u32; 10],
    pub drain_ms: u32,
    pub buffer: Vec<u8>,
    pub ring: Vec<u8>,
    pub head: u32,
}

impl Env {
    pub fn new() -> Self {
        Env {
            table: Table::default(),
            irqs: Irqs::default(),
            counters: [0; 10],
            drain_ms: 0,
            buffer: vec![0; BUFFER_SIZE],
            ring: vec![0; 16 * EVENTS],
            head: 0,
        }
    }

    pub fn event(&mut self, event: Event, slot: usize, arg: u64) {
        let at = self.head as usize % EVENTS * 16;
        let word = (slot as u32) << 8 | event as u32;
        self.ring[at..at + 4].copy_from_slice(&self.head.to_ne_bytes());
        self.ring[at + 4..at + 8].copy_from_slice(&word.to_ne_bytes());
        self.ring[at + 8..at + 16].copy_from_slice(&arg.to_ne_bytes());
        self.head = self.head.wrapping_add(1);
    }
}

/// CRC_TABLES[n][byte] is the CRC-32 of that byte and n zero bytes behind it.
const CRC_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0; 256]; 8];
    let mut i = 0;
    while i < 8 * 256 {
        let (n, byte) = (i / 256, i % 256);
        let mut value = if n == 0 { byte as u32 } else { tables[n - 1][byte] };
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ ((value & 1) * 0xedb8_8320);
            bit += 1;
        }
        tables[n][byte] = value;
        i += 1;
    }
    tables
};

pub fn crc(start: u32, data: &[u8]) -> u32 {
    let mut crc = !start;
    let mut eights = data.chunks_exact(8);
    for eight in &mut eights {
        let low = u32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]]);
        let low = (crc ^ low).to_le_bytes();
        let bytes = low.iter().chain(&eight[4..]);
        crc = bytes.zip(CRC_TABLES.iter().rev()).fold(0, |crc, (b, t)| crc ^ t[*b as usize]);
    }
    for byte in eights.remainder() {
        crc = crc >> 8 ^ CRC_TABLES[0][usize::from(crc as u8 ^ byte)];
    }
    !crc
}
