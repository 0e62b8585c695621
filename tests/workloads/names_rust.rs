// SPDX-License-Identifier: BSD-2-Clause
//
// Rust names, built with both mangling schemes. Each function takes the same share.
// names_rust [SECONDS]
use std::arch::asm;
use std::env;
use std::time::{Duration, Instant};

#[inline(always)]
fn chew(mut x: u64) -> u64 {
    for _ in 0..600_000u32 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // Keeps the compiler from computing the result of the whole loop.
        unsafe { asm!("/* {0} */", inout(reg) x) };
    }
    x
}

mod mill {
    pub trait Grind {
        fn grind(&self, x: u64) -> u64;
    }

    pub struct Stone<T>(pub T);

    impl<T: Copy + Into<u64>> Grind for Stone<T> {
        #[inline(never)]
        fn grind(&self, x: u64) -> u64 {
            super::chew(x.wrapping_add(self.0.into()))
        }
    }

    #[inline(never)]
    pub fn plain_function(x: u64) -> u64 {
        super::chew(x)
    }
}

fn main() {
    use mill::Grind;
    let seconds = env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(3600.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let stone = mill::Stone(3u32);
    let mut x = 1u64;

    println!("expect name mill::plain_function");
    println!("expect name mill::Grind>::grind");
    println!("ready");
    while Instant::now() < end {
        x = mill::plain_function(x);
        x = stone.grind(x);
    }
    std::process::exit((x == 0) as i32);
}
