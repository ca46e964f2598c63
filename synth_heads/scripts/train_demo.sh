#!/usr/bin/env bash
# Everything behind pretrained_models/sem2nerf_demo.pt, from nothing: data, decoder, encoder, parser, examination.
#
#   bash synth_heads/scripts/train_demo.sh [FOLDER]            # about eight hours on two cores; default folder: out/demo
#   bash synth_heads/scripts/train_demo.sh --smoke [FOLDER]    # every step at a tiny size, in minutes: proves that the chain works
#
# Run it again after an interruption: what is finished is kept, what was going on goes on. docs/demo_model.md explains
# the steps and says what came of them.
set -euo pipefail
cd "$(dirname "$0")/../.."

smoke=false
if [ "${1:-}" = "--smoke" ]; then smoke=true; shift; fi
out=${1:-out/demo}

if $smoke; then
    heads=(--num_heads 12 --views 2 --size 128); more=(--num_heads 12 --views 1 --size 128)
    edits=("${more[@]}"); plain=("${more[@]}"); views=(--num_heads 4 --views 2 --size 128)
    field=(--pigan_hidden_dim 32 --max_steps 40 --batch_size 8 --rays 32 --rendered_rays 2 --board_interval 20
           --val_interval 40 --val_images 1 --test_output_size 16)
    encoder=(--pigan_hidden_dim 32 --src_input_size 96 --batch_size 4 --board_interval 4 --latest_interval 8
             --val_images 2 --test_output_size 16 --pigan_infer_ray_step 6 --workers 0 --test_workers 0)
    codes=(--max_steps 8 --val_interval 8); z=("${codes[@]}"); fine=(--max_steps 4 --val_interval 4)
    labels=(--max_steps 8 --val_interval 8 --val_images 2 --batch_size 4 --rays 16 --val_rays 32 --test_output_size 16)
    parser=(--steps 10 --batch_size 4 --val_interval 10); examined=(--num_heads 2 --style_heads 1 --size 32 --workers 0)
else
    heads=(--num_heads 6000 --views 3 --size 160); more=(--num_heads 11000 --views 1 --size 160)
    edits=(--num_heads 6000 --views 1 --size 160); plain=(--num_heads 10000 --views 1 --size 160)
    views=(--num_heads 600 --views 4 --size 128)
    field=(--pigan_hidden_dim 128 --max_steps 52000 --batch_size 48 --rays 64 --rendered_rays 4 --val_interval 2000)
    encoder=(--pigan_hidden_dim 128 --test_output_size 128 --pigan_infer_ray_step 24 --workers 1 --test_workers 0)
    codes=(--batch_size 32 --max_steps 4000 --val_interval 500 --val_images 200 --test_output_size 16)
    z=("${codes[@]}" --max_steps 5500)
    fine=(--batch_size 8 --max_steps 5000 --val_interval 500 --val_images 48)
    labels=(--batch_size 8)
    parser=(); examined=(--num_heads 200)
fi

step() { echo; echo "== $1"; shift; echo "+ python $*"; python "$@"; }

# 1. heads: free colours for the decoder, the parser and the regression of codes, one palette for the encoder's images;
#    "edits" and "plain" are pairs of heads, before and after an edit of one part; "views" is for the semantic head, which
#    learns how a head looks from several sides
step "data: free colours" synth_heads/scripts/build_synth_heads.py --out "$out/free" "${heads[@]}" --seed 0 --merged --depth \
    --norms varied --mask_size 512
step "data: more heads" synth_heads/scripts/build_synth_heads.py --out "$out/many" "${more[@]}" --seed 3 --merged --depth --mask_size 512
step "data: edits" synth_heads/scripts/build_synth_heads.py --out "$out/edits" "${edits[@]}" --seed 21 --merged --depth --edits
step "data: edits in one palette" synth_heads/scripts/build_synth_heads.py --out "$out/plain" "${plain[@]}" --seed 23 --merged --depth \
    --edits --norms varied --palette fixed --mask_size 512
step "data: several sides" synth_heads/scripts/build_synth_heads.py --out "$out/views" "${views[@]}" --seed 501 --merged \
    --palette fixed --mask_size 512
# the examination draws heads of its own, so those held out for testing can be trained on
for set in free many edits plain views; do cat "$out/$set/test_paths.txt" >> "$out/$set/train_paths.txt"; done

# 2. the decoder: codes -> heads; first from any heads, then from edited ones, whose parts it must keep apart
decoder=(synth_heads/scripts/train_decoder.py --auto_resume "${field[@]}" --learning_rate 2e-4 --mapping_rate 2
         --occupancy_lambda 0.3)
step "decoder" "${decoder[@]}" --exp_dir "$out/decoder" --data_root "$out/free" --more_data "$out/many"
step "decoder: edits" "${decoder[@]}" --exp_dir "$out/decoder_edits" --data_root "$out/edits" --more_data "$out/plain" \
    --pigan_weights "$out/decoder/checkpoints/generator.pth" --edit_lambda 1 --rendered_rays 8
weights="$out/decoder_edits/checkpoints/generator.pth"

# 3. the encoder: masks -> z; first by regression of the known z's FiLM codes, then of z itself, then by images
common=(--dataset_type synthheads_seg_to_3dface --encoder_type SwinEncoderNano --encoder_not_zplus --pigan_zdim 96
        --use_merged_labels --use_contour --patch_train --pigan_steps_conf configs/pigan_steps/cpu.yaml
        --pigan_train_lvd --mirror --lpips_lambda 0 --w_norm_lambda 0 --optim_name adamw --scheduler_name cosine --grad_clip 1
        --ema 0.999 --save_interval 0 --auto_resume "${encoder[@]}" --pigan_weights "$weights")
step "encoder: codes" synth_heads/scripts/train_encoder.py --exp_dir "$out/encoder_codes" --data_root "$out/many" "${common[@]}" \
    "${codes[@]}" --latent_lambda 1 --l2_lambda 0 --dis_lambda 0 --learning_rate 8e-4
step "encoder: z" synth_heads/scripts/train_encoder.py --exp_dir "$out/encoder_z" --data_root "$out/plain" "${common[@]}" "${z[@]}" \
    --checkpoint_path "$out/encoder_codes/checkpoints/best_model.pt" --z_lambda 1 --edit_lambda 2 --latent_lambda 2 \
    --l2_lambda 0 --dis_lambda 0 --learning_rate 1e-3
step "encoder: images" synth_heads/scripts/train_encoder.py --exp_dir "$out/encoder_images" --data_root "$out/plain" "${common[@]}" \
    "${fine[@]}" --checkpoint_path "$out/encoder_z/checkpoints/best_model.pt" --latent_lambda 0.2 --z_lambda 0.05 \
    --edit_lambda 0.5 --l2_lambda 1 --dis_lambda 0.02 --train_rand_pose_prob 0.15 --ray_min_scale 0.25 --learning_rate 3e-4

# 4. the parser that judges the images
step "segmenter" synth_heads/scripts/train_segmenter.py --exp_dir "$out/segmenter" --data_root "$out/free" "${parser[@]}"

# 5. the semantic head, which names what the decoder shows
best="$out/encoder_images/checkpoints/best_model.pt"
step "labels" scripts/train_semantics.py --checkpoint_path "$best" --data_path "$out/views" --exp_dir "$out/labels" \
    --auto_resume "${labels[@]}"

# 6. the file that is shipped, and its examination on heads that no training saw
step "release" scripts/convert_checkpoint.py "$best" "$out/sem2nerf_demo.pt" --release --overwrite \
    --semantic_head "$out/labels/checkpoints/semantic_head.pt"
step "examination" synth_heads/scripts/eval_demo.py --checkpoint_path "$out/sem2nerf_demo.pt" "${examined[@]}" \
    --segmenter_weights "$out/segmenter/segmenter.pt" --json "$out/figures.json" --sheet "$out/sheet.png"
