from vm_native.copy.kernels import *
