#!/usr/bin/env bash
# All that a few minutes on a GPU machine can say about this project: tests, timings, a short training, a video.
#
#   bash scripts/dev/gpu_check.sh out/gpu_check                 # on a GPU, at most 8 minutes
#   bash scripts/dev/gpu_check.sh out/gpu_check --tiny          # at tiny sizes on a CPU, to see that every part runs
#
# Needs no network. Every part has a time limit of its own, and results.json and results.md hold all that was found up
# to then; at the end, results.tar.gz holds these and all that the parts wrote but heads and checkpoints. HEADS may name a
# folder with 400 heads of build_synth_heads.py (then they are not made here), PARTS the parts to run, PYTHON the Python
# to run them with.
set -uo pipefail
out=$(mkdir -p "${1:?give a folder for the results}" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
export PYTHONUNBUFFERED=1

patience=1
if [ "${2:-}" = "--tiny" ]; then
    device=cpu
    patience=4  # a CPU may have other work
    view=(--width 32 --size 12 --samples 4 --repeats 1); demo=(--size 12 --samples 4 --repeats 1)
    step=(--width 32 --size 32 --samples 4 --encoder SwinEncoderNano --repeats 1); batches=(1)
    heads=(--num_heads 6 --views 1 --size 128)
    recipe=(--src_input_size 96 --encoder_type SwinEncoderNano --batch_size 2 --max_steps 4 --board_interval 2
            --pigan_infer_ray_step 4 --val_images 1 --test_output_size 12 --workers 0)
    video=(--test_output_size 16 --pigan_infer_ray_step 4 --num_frames 2)
else
    device=cuda
    view=(--width 256 --size 512 --samples 72 --repeats 5); demo=(--size 512 --samples 72 --repeats 5)
    step=(--width 256 --repeats 8); batches=(2 8)
    heads=(--num_heads 400 --views 1 --size 256)
    recipe=(--batch_size 16 --max_steps 300 --board_interval 25 --val_images 16 --workers 8 --amp bf16
            --field_precision tf32)
    video=(--test_output_size 512 --pigan_infer_ray_step 72 --num_frames 60)
fi

pytest=("$python" -m pytest -v -m gpu -rfs --tb=short --durations=12 -p no:cacheprovider)
# part NAME SECONDS COMMAND...: its output in NAME.log, its time and exit status in parts.tsv
: > "$out/parts.tsv"
part() {
    local name=$1 limit=$(($2 * patience)) start status
    shift 2
    [[ " ${PARTS:-$name} " == *" $name "* ]] || return 0
    echo "== $name (at most $limit s)"
    start=$(date +%s%3N)
    timeout --kill-after=5 "$limit" "$@" > "$out/$name.log" 2>&1
    status=$?
    printf '%s\t%s\t%s\n' "$name" "$status" "$(($(date +%s%3N) - start))" >> "$out/parts.tsv"
    tail -n 3 "$out/$name.log"
    "$python" scripts/dev/gpu_report.py "$out"
}

benchmark() { echo "$python" scripts/benchmark.py "$@" --device "$device"; }

part machine 30 "$python" scripts/dev/gpu_report.py "$out" --machine
# all at a time: they wait for compilers and for new processes, not for the GPU
for tests in kernels rendering training graphs processes; do
    OMP_NUM_THREADS=3 part "tests_$tests" 130 "${pytest[@]}" "tests/test_gpu_$tests.py" &
done
wait
part render 80 $(benchmark render --json "$out/render.json") "${view[@]}" --converged 256
part render_demo 50 $(benchmark render --json "$out/render_demo.json") "${demo[@]}"
for batch in "${batches[@]}"; do
    part "train_$batch" 45 $(benchmark train --json "$out/train_$batch.json") "${step[@]}" --batch_size "$batch"
done
part encode 20 $(benchmark encode --json "$out/encode.json") --repeats 5
part video 40 $(benchmark video --json "$out/video.json") "${demo[@]}" --frames 30
if [ -z "${HEADS:-}" ]; then
    part heads 120 "$python" synth_heads/scripts/build_synth_heads.py --out "$out/heads" --merged --palette fixed "${heads[@]}"
fi
# the paper's recipe with the bundled decoder; no LPIPS, whose AlexNet is not there without a network
part training 90 "$python" scripts/train3d.py --device "$device" --exp_dir "$out/run" --overwrite \
    --data_root "${HEADS:-$out/heads}" --dataset_type synthheads_seg_to_3dface \
    --pigan_weights pretrained_models/sem2nerf_demo.pt --pigan_hidden_dim 128 --pigan_zdim 96 --swin_weights none \
    --use_merged_labels --use_contour --start_from_latent_avg --patch_train --train_rand_pose_prob 0.2 \
    --lpips_lambda 0 --save_interval 0 "${recipe[@]}"
part film 60 "$python" scripts/inference3d.py --device "$device" --exp_dir "$out/film" --data_path \
    data/CelebAMask-HQ/mask_samples/90001.png --use_merged_labels --render_videos --sampler grid --precision tf32 "${video[@]}"
packed=$(mktemp -d)  # a folder that grows while it is being packed makes tar fail
tar -czf "$packed/results.tar.gz" --exclude=./heads --exclude="*.pt" --exclude=./results.tar.gz -C "$out" .
mv "$packed/results.tar.gz" "$out" && rmdir "$packed"
