// SPDX-License-Identifier: BSD-3-Clause
//! One slot of the test device: a DMA operation that can be held at named points. It moves bytes
//! in chunks, in the order of addresses; from POST to END it holds the parts of the client's memory
//! that it is in. reference-server/README.md describes the registers.

use crate::env::{crc, Env, Event, ABORTED, BUFFER_SIZE, DONE, FAULTED, STARTED};
use crate::memory::{Part, READ, WRITE};
use std::time::{Duration, Instant};

const CHUNK: u64 = 4096;
const PATTERN_STEP: u64 = 0x9d;
/// Steps in one go: a few hundred KiB.
const STEPS: usize = 256;

/// Registers, by number.
const CMD: usize = 0;
const CTL: usize = 1;
const SRC: usize = 2;
const DST: usize = 4;
const LEN: usize = 6;
const MID: usize = 7;
const BUF: usize = 8;
const PAT: usize = 9;
const COUNT: usize = 10;
const STRIDE: usize = 11;
const STATE: usize = 12;
const MOVED: usize = 13;
const CSUM: usize = 14;
const STEP: usize = 15;

const CMD_IRQ: u32 = 1 << 7;
const CMD_ARMED: u32 = 1 << 10;
/// Page requests, PASID, translate only and what is reserved are not there.
const CMD_REFUSED: u32 = 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11 | 0xffff_f000;
const CTL_DRAIN: u32 = 1 << 8;
const PATH_DIRECT: u32 = 1;

const OP_NOP: u32 = 0;
const OP_READ: u32 = 1;
const OP_WRITE: u32 = 2;
const OP_COPY: u32 = 3;
const OP_TOUCH: u32 = 4;
const OP_FILL: u32 = 5;
const OP_CHECK: u32 = 6;

#[derive(Clone, Copy, Default, PartialEq)]
pub enum State {
    #[default]
    Idle = 0,
    Queued = 1,
    Run = 2,
    Held = 3,
    Done = 6,
    Fault = 7,
    Aborted = 8,
}

#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
enum Phase {
    #[default]
    Pre,
    Parts,
    Move,
    Mid,
    End,
    Retired,
}

#[derive(Clone, Copy)]
enum Hold {
    Pre,
    Post,
    Mid,
    End,
    Retired,
}

#[derive(Default)]
pub struct Slot {
    number: usize,
    registers: [u32; 12],
    state: State,
    hold: u32,
    error: i32,
    moved: u64,
    csum: u32,
    fault_address: u64,
    last_seq: u64,
    job: [u32; 12],
    phase: Phase,
    passed: u32,
    armed: bool,
    unheld: bool,
    drain_at: Option<Instant>,
    iteration: u32,
    offset: u64,
    source: Option<Part>,
    sink: Option<Part>,
}

fn both(words: &[u32], at: usize) -> u64 {
    u64::from(words[at + 1]) << 32 | u64::from(words[at])
}

impl Slot {
    pub fn new(number: usize) -> Self {
        Slot { number, ..Default::default() }
    }

    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }

    pub fn is_running(&self) -> bool {
        self.state == State::Run
    }

    fn is_live(&self) -> bool {
        matches!(self.state, State::Queued | State::Run | State::Held)
    }

    pub fn status(&self) -> u32 {
        let hold = if self.is_held() { self.hold } else { 0 };
        (self.error as u32) << 16 | hold << 8 | self.state as u32
    }

    pub fn load(&self, register: usize) -> u32 {
        match register {
            CMD | STEP => 0,
            STATE => self.status(),
            MOVED => self.moved as u32,
            CSUM => self.csum,
            _ => self.registers[register],
        }
    }

    pub fn store(&mut self, env: &mut Env, register: usize, value: u32) {
        match register {
            CMD => self.command(value),
            STEP => self.step(env, value),
            STATE.. => (),
            _ => self.registers[register] = value,
        }
    }

    /// A register of the fault view.
    pub fn view(&self, register: usize) -> u32 {
        match register {
            0 => self.fault_address as u32,
            1 => (self.fault_address >> 32) as u32,
            6 => self.last_seq as u32,
            7 => (self.last_seq >> 32) as u32,
            _ => 0,
        }
    }

    fn command(&mut self, value: u32) {
        if self.is_live() {
            return;
        }
        self.registers[CMD] = value;
        *self = Slot {
            number: self.number,
            registers: self.registers,
            job: self.registers,
            state: State::Queued,
            armed: value & CMD_ARMED != 0,
            ..Default::default()
        };
    }

    /// A code of STEP, also from the side door.
    pub fn step(&mut self, env: &mut Env, code: u32) {
        match code {
            3 => return self.abort(env, false),
            2 => self.unheld = true,
            1 => (),
            _ => return,
        }
        if self.is_held() {
            self.state = State::Run;
        }
    }

    pub fn go(&mut self) {
        self.armed = false;
    }

    pub fn begin(&mut self, env: &mut Env) {
        if self.state == State::Queued && !self.armed {
            self.state = State::Run;
            env.counters[STARTED] += 1;
            env.event(Event::Start, self.number, self.job[CMD].into());
        }
    }

    /// Advances to the next stable state, or for a while.
    pub fn run(&mut self, env: &mut Env) {
        if self.is_held() && self.hold != Hold::Retired as u32 && self.drained() {
            self.state = State::Run;
        }
        for _ in 0..STEPS {
            if self.state != State::Run {
                break;
            }
            self.advance(env);
        }
    }

    fn advance(&mut self, env: &mut Env) {
        match self.phase {
            Phase::Pre => self.pre(env),
            Phase::Parts => self.parts(env),
            Phase::Move => self.chunk(env),
            Phase::Mid => {
                if self.moved != u64::from(self.job[MID]) || !self.holds(Hold::Mid) {
                    self.phase = Phase::Parts;
                }
            }
            Phase::End => {
                if !self.holds(Hold::End) {
                    self.release(env);
                    self.phase = Phase::Retired;
                }
            }
            Phase::Retired => {
                if !self.holds(Hold::Retired) {
                    self.finish(env, State::Done, 0);
                    self.interrupt(env);
                }
            }
        }
    }

    /// Whether the operation stops here. Each point counts once in an operation.
    fn holds(&mut self, point: Hold) -> bool {
        let bit = 1 << point as u32;
        let seen = self.passed & bit != 0;
        self.passed |= bit;
        if seen || self.registers[CTL] & bit == 0 || self.unheld {
            return false;
        }
        if self.drained() && !matches!(point, Hold::Retired) {
            return false;
        }
        self.state = State::Held;
        self.hold = point as u32;
        true
    }

    fn drained(&self) -> bool {
        self.drain_at.is_some_and(|at| Instant::now() >= at)
    }

    pub fn drain_at(&self) -> Option<Instant> {
        self.drain_at
    }

    fn op(&self) -> u32 {
        self.job[CMD] & 0xf
    }

    fn pre(&mut self, env: &mut Env) {
        let path = self.job[CMD] >> 4 & 3;
        if self.job[CMD] & CMD_REFUSED != 0 || self.op() > OP_CHECK || path > PATH_DIRECT {
            self.fail(env, libc::ENOTSUP, 0);
        } else if !self.holds(Hold::Pre) {
            self.phase = Phase::Parts;
        }
    }

    fn length(&self) -> u64 {
        if self.op() == OP_NOP {
            0
        } else {
            self.job[LEN].into()
        }
    }

    /// Sees to it that the memory is held in which the next chunk lies.
    fn parts(&mut self, env: &mut Env) {
        if self.offset == self.length() {
            if self.length() == 0 || self.iteration + 1 >= self.job[COUNT].max(1) {
                self.last(env);
                self.phase = Phase::End;
                return;
            }
            self.iteration += 1;
            self.offset = 0;
        }
        let reads = matches!(self.op(), OP_READ | OP_COPY | OP_TOUCH | OP_CHECK);
        let writes = matches!(self.op(), OP_WRITE | OP_COPY | OP_FILL);
        let mut reached = Ok(());
        if reads {
            reached = self.reach(env, SRC);
        }
        if writes && reached.is_ok() {
            reached = self.reach(env, DST);
        }
        match reached {
            Err((error, address)) => self.fail(env, error, address),
            Ok(()) if !self.holds(Hold::Post) => self.phase = Phase::Move,
            Ok(()) => (),
        }
    }

    /// Where a side is at; none behind the end of the address space.
    fn address(&self, side: usize) -> Option<u64> {
        let skip = u64::from(self.iteration) * u64::from(self.job[STRIDE]) + self.offset;
        both(&self.job, side).checked_add(skip)
    }

    fn reach(&mut self, env: &mut Env, side: usize) -> Result<(), (i32, u64)> {
        let address = self.address(side);
        let wanted = self.length() - self.offset;
        let part = if side == SRC { &mut self.source } else { &mut self.sink };
        let left = address.zip(part.as_ref()).map_or(0, |(address, part)| part.left(address));
        if left > 0 {
            return Ok(());
        }
        if part.take().is_some() {
            env.event(Event::Retire, self.number, self.moved);
        }
        let address = address.ok_or((libc::ENOENT, 0))?;
        env.event(Event::Ref, self.number, address);
        let access = if side == SRC { READ } else { WRITE };
        let found = env.table.hold(access, address, wanted).map_err(|error| (error, address))?;
        env.event(Event::Xlat, self.number, found.size);
        *part = Some(found);
        Ok(())
    }

    fn bound(&self, side: usize, part: &Option<Part>, size: u64) -> u64 {
        let left = part.as_ref().zip(self.address(side)).map(|(part, at)| part.left(at));
        left.map_or(size, |left| size.min(left))
    }

    fn buffer_at(&self) -> usize {
        ((u64::from(self.job[BUF]) + self.moved) % BUFFER_SIZE as u64) as usize
    }

    fn chunk_size(&self) -> usize {
        let mut size = CHUNK.min(self.length() - self.offset);
        size = self.bound(SRC, &self.source, size);
        size = self.bound(DST, &self.sink, size);
        let mid = u64::from(self.job[MID]);
        if mid > self.moved {
            size = size.min(mid - self.moved);
        }
        size.min((BUFFER_SIZE - self.buffer_at()) as u64) as usize
    }

    fn pattern(&self, size: usize) -> Vec<u8> {
        let seed = u64::from(self.job[PAT]);
        let byte = |i: u64| seed.wrapping_add((self.moved + i).wrapping_mul(PATTERN_STEP)) as u8;
        (0..size as u64).map(byte).collect()
    }

    /// Moves one chunk, or as much of it as can be.
    fn chunk(&mut self, env: &mut Env) {
        if self.op() == OP_TOUCH {
            self.offset += self.bound(SRC, &self.source, self.length() - self.offset);
            self.phase = Phase::Parts;
            return;
        }
        if self.moved == 0 {
            env.event(Event::First, self.number, 0);
        }
        let (bytes, trouble) = self.transfer(env);
        let side = if self.sink.is_some() { DST } else { SRC };
        let place = self.address(side).unwrap_or(0).wrapping_add(bytes.len() as u64);
        self.csum = crc(self.csum, &bytes);
        self.moved += bytes.len() as u64;
        self.offset += bytes.len() as u64;
        self.last_seq = env.head.into();
        match trouble {
            0 => self.phase = Phase::Mid,
            error => self.fail(env, error, place),
        }
    }

    /// The bytes that have arrived, and why they are fewer than they should be, or 0.
    fn transfer(&self, env: &mut Env) -> (Vec<u8>, i32) {
        let size = self.chunk_size();
        let at = self.buffer_at();
        let mut bytes = match self.op() {
            OP_WRITE => env.buffer[at..at + size].to_vec(),
            OP_FILL => self.pattern(size),
            _ => vec![0; size],
        };
        if let Some((part, address)) = self.source.as_ref().zip(self.address(SRC)) {
            let arrived = part.read(address, &mut bytes);
            bytes.truncate(arrived);
        }
        if let Some((part, address)) = self.sink.as_ref().zip(self.address(DST)) {
            let arrived = part.write(address, &bytes);
            bytes.truncate(arrived);
        }
        let mut trouble = if bytes.len() < size { libc::EFAULT } else { 0 };
        match self.op() {
            OP_READ => env.buffer[at..at + bytes.len()].copy_from_slice(&bytes),
            OP_CHECK => {
                let wanted = self.pattern(bytes.len());
                if let Some(bad) = bytes.iter().zip(&wanted).position(|(is, want)| is != want) {
                    bytes.truncate(bad);
                    trouble = libc::EILSEQ;
                }
            }
            _ => (),
        }
        (bytes, trouble)
    }

    fn last(&self, env: &mut Env) {
        if self.moved > 0 {
            env.event(Event::Last, self.number, self.moved);
        }
    }

    fn release(&mut self, env: &mut Env) {
        let held = self.source.take().is_some() | self.sink.take().is_some();
        if held {
            env.event(Event::Retire, self.number, self.moved);
        }
    }

    fn finish(&mut self, env: &mut Env, state: State, error: i32) {
        let counter = match state {
            State::Done => DONE,
            State::Fault => FAULTED,
            _ => ABORTED,
        };
        self.state = state;
        self.error = error;
        self.armed = false;
        self.drain_at = None;
        env.counters[counter] += 1;
        self.release(env);
        env.event(Event::Report, self.number, self.status().into());
    }

    fn interrupt(&self, env: &mut Env) {
        if self.job[CMD] & CMD_IRQ != 0 {
            let vector = self.registers[CTL] >> 16 & 7;
            env.event(Event::Irq, self.number, vector.into());
            env.irqs.raise(vector as usize);
        }
    }

    fn fail(&mut self, env: &mut Env, error: i32, address: u64) {
        self.fault_address = address;
        self.last(env);
        self.finish(env, State::Fault, error);
        self.interrupt(env);
    }

    /// Ends the operation, if there is one; `silently` without interrupt.
    pub fn abort(&mut self, env: &mut Env, silently: bool) {
        if !self.is_live() {
            return;
        }
        if self.phase < Phase::End {
            self.last(env);
        }
        self.finish(env, State::Aborted, libc::ECANCELED);
        if !silently {
            self.interrupt(env);
        }
    }

    pub fn uses(&self, first: u64, last: u64) -> bool {
        [&self.source, &self.sink].into_iter().flatten().any(|part| part.overlaps(first, last))
    }

    /// The range is being unmapped: an operation that holds a part of it aborts or drains.
    pub fn unmap(&mut self, env: &mut Env, first: u64, last: u64) {
        if !self.is_live() || !self.uses(first, last) {
            return;
        }
        if self.registers[CTL] & CTL_DRAIN == 0 {
            self.abort(env, false);
        } else {
            self.drain_at = Some(Instant::now() + Duration::from_millis(env.drain_ms.into()));
        }
    }

    pub fn quiet(&mut self) {
        self.drain_at = None;
    }
}
