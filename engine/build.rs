//! Says when the video codec would be built without its SIMD code, which it does in silence: several times slower.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=PATH");
    let is_x86 = std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder: std::path::PathBuf| has_nasm(&folder));
    if is_x86 && !found {
        println!("cargo:warning=nasm is not on PATH: OpenH264 is built without SIMD and is several times slower.");
        println!("cargo:warning=Install it (Debian, Ubuntu: apt install nasm) and run `cargo clean -p openh264-sys2`.");
    }
}

fn has_nasm(folder: &Path) -> bool {
    folder.join("nasm").is_file() || folder.join("nasm.exe").is_file()
}
