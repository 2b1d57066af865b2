/work/main/.lab/wirem-target/release/wirem: /work/shared/lab/wirem/src/main.rs
