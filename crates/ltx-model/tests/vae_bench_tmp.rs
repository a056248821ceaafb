use burn::tensor::*;
use burn::tensor::ops::*;
use ltx_model::*;
fn time(name: &str, n: usize, mut f: impl FnMut()) {
    f();
    let t = std::time::Instant::now();
    for _ in 0..n { f(); }
    println!("{name}: {:?}", t.elapsed() / n as u32);
}
fn rnd<const D: usize>(s: [usize; D]) -> Tensor<D> { Tensor::random(s, Distribution::Normal(0.0, 1.0), &Device::flex()) }
#[test]
fn bench() {
    for (c, f, h) in [(4usize, 25usize, 64usize), (128, 9, 48), (512, 5, 24)] {
        let x = rnd([1, c, f, h, h]);
        let w = rnd([c, c, 3, 3, 3]);
        let b = rnd([c]);
        let conv = CausalConv3d::new(w.clone(), b.clone(), ConvPadding { causal: true, spatial: SpatialPadding::Zeros });
        let gf = 2.0 * 27.0 * (c * c * f * h * h) as f64 / 1e9;
        println!("-- {c} {f} {h}: {gf:.2} GFLOP");
        time("causal conv", 3, || { conv.forward(x.clone()); });
        time("conv3d alone, padded", 3, || { module::conv3d(x.clone(), w.clone(), Some(b.clone()), ConvOptions::new([1;3],[0,1,1],[1;3],1)); });
        // three 2-d convs, frames as batch
        let w3: Vec<Tensor<4>> = (0..3).map(|k| w.clone().narrow(2, k, 1).squeeze_dim(2)).collect();
        time("three conv2d", 3, || {
            let xp = Tensor::cat(vec![x.clone().narrow(2,0,1), x.clone().narrow(2,0,1), x.clone()], 2).permute([0,2,1,3,4]);
            let frames: Tensor<4> = xp.reshape([f + 2, c, h, h]);
            let mut y: Option<Tensor<4>> = None;
            for k in 0..3 {
                let part = module::conv2d(frames.clone().narrow(0, k, f), w3[k].clone(), (k==0).then(|| b.clone()), ConvOptions::new([1;2],[1,1],[1;2],1));
                y = Some(match y { Some(y) => y + part, None => part });
            }
            let y: Tensor<5> = y.unwrap().reshape([1, f, c, h, h]);
            let _ = y.permute([0,2,1,3,4]);
        });
        time("27 matmuls on flat rows", 3, || {
            let hp = h + 2;
            let xp = Tensor::cat(vec![x.clone().narrow(2,0,1), x.clone().narrow(2,0,1), x.clone()], 2).pad([(1,1),(1,1)], PadMode::Constant(0.0));
            let flat: Tensor<2> = xp.reshape([c, (f+2)*hp*hp]);
            let n = f*hp*hp - 2*hp - 2;
            let mut y: Option<Tensor<2>> = None;
            for kt in 0..3 { for kh in 0..3 { for kw in 0..3 {
                let wk: Tensor<2> = w.clone().slice([0..c, 0..c, kt..kt+1, kh..kh+1, kw..kw+1]).reshape([c, c]);
                let part = wk.matmul(flat.clone().narrow(1, kt*hp*hp + kh*hp + kw, n));
                y = Some(match y { Some(y) => y + part, None => part });
            }}}
        });
        let m = rnd([c, c * 27]); let n = rnd([c * 27, f * h * h]);
        time("same matmul", 3, || { m.clone().matmul(n.clone()); });
        time("pixel_norm", 3, || { pixel_norm(x.clone()); });
        time("silu", 3, || { activation::silu(x.clone()); });
        time("square+mean", 3, || { x.clone().square().mean_dim(1); });
        let mm = rnd([1,1,f,h,h]);
        time("broadcast mul", 3, || { let _ = x.clone() * mm.clone(); });
        time("cat", 3, || { let _ = Tensor::cat(vec![x.clone().narrow(2,0,1), x.clone().narrow(2,0,1), x.clone()], 2); });
    }
    let p = rnd([1, 3, 25, 256, 256]);
    time("patchify", 3, || { patchify(p.clone(), 4); });
    let x = rnd([1, 48, 25, 64, 64]);
    time("unpatchify", 3, || { unpatchify(x.clone(), 4); });
    let conv = CausalConv3d::new(rnd([4, 48, 3, 3, 3]), rnd([4]), ConvPadding { causal: true, spatial: SpatialPadding::Zeros });
    time("conv_in", 3, || { conv.forward(x.clone()); });
}
