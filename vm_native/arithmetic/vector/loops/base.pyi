kernels: object
