// SPDX-License-Identifier: BSD-2-Clause
//
// Rust as cargo builds it: closures, boxed traits, formatting, panics that are caught.
// truth_rust [SECONDS]
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::panic;
use std::time::{Duration, Instant};

enum Tree {
    Leaf(u64),
    Node(Vec<Box<Tree>>),
}

fn grow(depth: u32) -> Tree {
    if depth == 0 {
        return Tree::Leaf(7);
    }
    Tree::Node((0..3).map(|_| Box::new(grow(depth - 1))).collect())
}

fn sum(tree: &Tree, text: &mut String) -> u64 {
    match tree {
        Tree::Leaf(v) => {
            text.clear();
            write!(text, "{} {:?}", v, Some(v)).unwrap();
            text.len() as u64 + v
        }
        Tree::Node(parts) => parts.iter().map(|p| sum(p, text)).sum(),
    }
}

#[inline(never)]
fn panic_deep(depth: u32) -> u64 {
    if depth == 0 {
        panic!("on purpose");
    }
    let mut v = vec![depth as u64; 16];
    v[3] = panic_deep(depth - 1);
    v.iter().sum()
}

fn main() {
    let seconds = env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(3600.0);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let tree = grow(6);
    let mut map = BTreeMap::new();
    let mut text = String::new();
    let mut total = 0u64;

    panic::set_hook(Box::new(|_| {}));
    println!("ready");
    while Instant::now() < end {
        total = total.wrapping_add(sum(&tree, &mut text));
        for i in 0..500u64 {
            let key = i.wrapping_mul(7919) % 1000;
            map.entry(format!("k{}", key)).and_modify(|v| *v += i).or_insert(i);
        }
        let mut rows: Vec<(&String, &u64)> = map.iter().collect();
        rows.sort_by(|a, b| b.1.cmp(a.1).then_with(|| a.0.cmp(b.0)));
        total = total.wrapping_add(*rows[0].1);
        if panic::catch_unwind(|| panic_deep(10)).is_ok() {
            total = 0;
        }
    }
    std::process::exit((total == 0) as i32);
}
