"""The RISC-V front end: everything that knows an encoding, a CSR or a page-table format."""
