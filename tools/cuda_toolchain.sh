#!/usr/bin/env bash
# Installs nvcc and its parts from PyPI's wheels (320 MB), to compile CUDA without a GPU and without a toolkit.
#   tools/cuda_toolchain.sh DIR; . DIR/env.sh
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
home=$dir/site/nvidia/cu13
# There are wheels of cuobjdump and nvdisasm from 13.2 on; they read the binaries of 13.0.
packages=(
	nvidia-cuda-nvcc==13.0.88
	nvidia-cuda-crt==13.0.88
	nvidia-nvvm==13.0.88
	nvidia-cuda-runtime==13.0.96
	nvidia-cuda-cccl==13.0.85
	nvidia-cuda-cuobjdump==13.2.86
	nvidia-cuda-nvdisasm==13.2.86
)
if [ ! -x "$home/bin/nvcc" ] || [ ! -x "$home/bin/nvdisasm" ]; then
	# In one call: the wheels share folders, and a second call with --target would not merge them.
	python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --no-deps --no-compile --only-binary :all: \
		--upgrade --target "$dir/site" "${packages[@]}"
fi
# nvcc.profile looks for libcudart_static.a in lib64; the wheels have it in lib.
ln -sfn lib "$home/lib64"
chmod +x "$home"/bin/* "$home"/nvvm/bin/*
cat > "$dir/env.sh" <<X
export CUDA_HOME=$home
export PATH=$home/bin:\$PATH
X
"$home/bin/nvcc" --version | tail -1
