// SPDX-License-Identifier: BSD-3-Clause
//! PCI configuration space of the test device: MSI-X at 0x50, PCI Express with function level
//! reset at 0x60. Any width and alignment; bits that are not writable ignore writes.

pub const SIZE: usize = 4096;

const FLR_BYTE: usize = 0x69;
const FLR_BIT: u8 = 0x80;

/// Offset, width in bytes, reset value, writable bits.
const REGISTERS: &[(usize, usize, u32, u32)] = &[
    (0x00, 4, 0x11e9_1234, 0),
    (0x04, 2, 0, 0x0546),
    (0x06, 2, 0x0010, 0),
    (0x08, 4, 0x00ff_0001, 0),
    (0x0c, 1, 0, 0xff),
    (0x10, 4, 0, 0xfffe_0000),
    (0x18, 4, 0, 0xffff_f000),
    (0x2c, 4, 0x11e9_1234, 0),
    (0x34, 1, 0x50, 0),
    (0x3c, 1, 0, 0xff),
    (0x50, 4, 0x0007_6011, 0xc000_0000),
    (0x54, 4, 0x2000, 0),
    (0x58, 4, 0x3000, 0),
    (0x60, 4, 0x0002_0010, 0),
    (0x64, 4, 0x1000_8000, 0),
    (0x68, 2, 0x2810, 0x78ff),
    (0x6c, 4, 0x0000_0011, 0),
    (0x70, 4, 0x0011_0000, 0x00c3),
];

pub struct Config {
    bytes: [u8; SIZE],
    writable: [u8; SIZE],
}

impl Config {
    pub fn new() -> Self {
        let mut config = Config { bytes: [0; SIZE], writable: [0; SIZE] };
        for &(offset, width, value, writable) in REGISTERS {
            config.bytes[offset..offset + width].copy_from_slice(&value.to_le_bytes()[..width]);
            config.writable[offset..offset + width]
                .copy_from_slice(&writable.to_le_bytes()[..width]);
        }
        config
    }

    /// The caller has checked that all of it is inside.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        data.copy_from_slice(&self.bytes[offset..offset + data.len()]);
    }

    /// The same; true if it asks for a function level reset.
    pub fn write(&mut self, offset: usize, data: &[u8]) -> bool {
        for (at, byte) in (offset..).zip(data) {
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask | byte & mask;
        }
        let flr = FLR_BYTE.checked_sub(offset).and_then(|at| data.get(at));
        flr.is_some_and(|byte| byte & FLR_BIT != 0)
    }
}
