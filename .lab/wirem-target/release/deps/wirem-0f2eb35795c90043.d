/work/main/.lab/wirem-target/release/deps/wirem-0f2eb35795c90043.d: src/main.rs

/work/main/.lab/wirem-target/release/deps/wirem-0f2eb35795c90043: src/main.rs

src/main.rs:
