from vm_native.memory.copy.kernels import *
