//! tmp
use std::{path::Path, time::Instant};
use tensor_batch::*; use video_fit::*;
fn main() {
    let path = std::env::args().nth(1).unwrap(); let path = Path::new(&path);
    let l = Limits::default();
    let t = Instant::now(); let p = probe(path, &l).unwrap(); println!("probe {} fps", f64::from(p.frames())/t.elapsed().as_secs_f64());
    let t = Instant::now(); let n = Frames::open(path,&l).unwrap().count(); println!("frames {}", n as f64/t.elapsed().as_secs_f64());
    let b: Bucket = "768x768x393".parse().unwrap();
    let plan = FitPlan::new(p.size, b, FrameList::first(b.frames(), p.frames()).unwrap(), p.rate);
    let t = Instant::now(); fit(Frames::open(path,&l).unwrap(), &plan).unwrap(); println!("fit {}", 393.0/t.elapsed().as_secs_f64());
    let b: Bucket = "256x256x393".parse().unwrap();
    let plan = FitPlan::new(p.size, b, FrameList::first(b.frames(), p.frames()).unwrap(), p.rate);
    let t = Instant::now(); fit(Frames::open(path,&l).unwrap(), &plan).unwrap(); println!("fit256 {}", 393.0/t.elapsed().as_secs_f64());
}
