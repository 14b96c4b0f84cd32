"""The compiled core of `vm`: memory, block cache, engines and the RISC-V front end. Private to `vm`."""
