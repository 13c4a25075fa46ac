// A Rust server: threads with channels and locks, memory with checksums; it tells whether all is right.
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

static ROUNDS: AtomicU64 = AtomicU64::new(0);

fn sum(data: &[u8]) -> u64 {
    data.iter().fold(14695981039346656037, |h, b| (h ^ *b as u64).wrapping_mul(1099511628211))
}

fn check(blocks: &[(Vec<u8>, u64)], kept: &mut HashMap<usize, String>, count: usize) -> String {
    if blocks.iter().any(|(data, hash)| sum(data) != *hash) {
        return "a block differs".into();
    }
    if (0..count).any(|n| kept.get(&n) != Some(&format!("value {n}"))) {
        return "a value is lost".into();
    }
    kept.insert(count, format!("value {count}"));
    format!("ok {}", ROUNDS.load(Ordering::SeqCst))
}

fn main() {
    let mut seed = 88172645463325252u64;
    let blocks: Vec<(Vec<u8>, u64)> = (0..100)
        .map(|n| {
            let data: Vec<u8> = (0..20000 + n)
                .map(|_| { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; seed as u8 })
                .collect();
            let hash = sum(&data);
            (data, hash)
        })
        .collect();
    let turn = Arc::new((Mutex::new(0u64), Condvar::new()));
    for me in 0..3u64 {
        let turn = turn.clone();
        thread::spawn(move || loop {
            let mut now = turn.0.lock().unwrap();
            while *now % 3 != me { now = turn.1.wait(now).unwrap(); }
            *now += 1;
            turn.1.notify_all();
        });
    }
    let (send, receive) = channel::<u64>();
    thread::spawn(move || for n in 0.. { if send.send(n).is_err() { return; } thread::sleep(std::time::Duration::from_millis(1)); });
    thread::spawn(move || for (n, got) in receive.iter().enumerate() {
        assert_eq!(n as u64, got);
        ROUNDS.fetch_add(1, Ordering::SeqCst);
    });
    let mut kept = HashMap::new();
    for stream in TcpListener::bind("127.0.0.1:7005").unwrap().incoming() {
        let mut stream = stream.unwrap();
        let mut line = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        reader.read_line(&mut line).unwrap();
        let count = line.split(&['/', ' '][..]).nth(2).and_then(|n| n.parse().ok());
        let Some(count) = count else { continue };
        while line.trim() != "" { line.clear(); reader.read_line(&mut line).unwrap(); }
        let answer = check(&blocks, &mut kept, count);
        write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{}", answer.len(), answer).unwrap();
    }
}
