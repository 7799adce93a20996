"""Every sentence of README.md, and the tests that stand behind it.

A sentence that claims something has a line in `CLAIMS`; one that only says what to do or where to read on, in `NO_CLAIM`. The lines of the
tables of nodes are compared with the nodes themselves, by tests/test_docs.py. Figures that pages quote from docs/benchmarks.md are in `FIGURES`.
"""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
README = (TESTS.parent / "README.md").read_text(encoding="utf-8")

CLAIMS = {  # a part of a sentence: file:test file:test …, without "tests/", ".py" and "test_"
    "you draw a neural network on the canvas": "nn_layers/test_network:a_drawn_network_computes_what_the_same_code_computes nn_layers/test_network:a_tensor_may_be_used_twice_and_by_several_outputs",
    "You train it on your own pictures or tables": "e2e/test_browser:a_workflow_runs_from_the_canvas_and_its_chart_grows training/test_sources:a_table_becomes_standardized_features e2e/test_server:shipped_workflows_run",
    "Other nodes find things by words": "e2e/test_imaging_workflows:words_find_it_lama_removes_it_and_the_place_is_repainted e2e/test_imaging_workflows:interrogate e2e/test_augment:the_loop_from_one_dataset_to_a_sentence e2e/test_finetune:a_lora_is_trained_and_used_in_one_workflow",
    "With Python 3.10 or newer": "test_docs:continuous_integration_runs_the_makefile",
    "trains a drawn network on real handwritten digits": "headless/test_workflow:the_shipped_workflow_ends_with_its_accuracy_and_where_the_pictures_are training/test_sources:the_digits_are_real_and_all_there",
    "every test; those inside ComfyUI are skipped": "test_docs:commands_in_sentences_exist test_readme:what_make_would_do",
    "makes `.venv` from the lock file": "test_readme:what_make_would_do",
    "ComfyUI 0.14 or newer is needed": "test_publishing:the_versions_of_comfyui_are_the_same_everywhere",
    "It is tested in 0.33": "test_publishing:the_versions_of_comfyui_are_the_same_everywhere",
    "What not everybody needs comes with an extra": "test_docs:every_line_of_shell_is_known nn_layers/test_segmentation:missing_library_names_the_extra",
    "| `segmentation` |": "test_readme:the_environment_of_make_has_every_extra nn_layers/test_segmentation:missing_library_names_the_extra training/segmentation/test_coco:codes_are_read_as_pycocotools_reads_them",
    "| `export` |": "test_readme:the_environment_of_make_has_every_extra nn_layers/test_export:onnx_and_torch_export_take_any_batch",
    "| `headless` |": "test_readme:the_environment_of_make_has_every_extra headless/test_workflow:shipped_workflows_are_right",
    "| `cluster` |": "test_readme:the_environment_of_make_has_every_extra training/test_experiment_cluster:without_ray_it_says_what_to_install",
    "| `imaging` |": "test_readme:the_environment_of_make_has_every_extra imaging/test_erase:without_opencv_the_default_is_smooth",
    "| `diffusion` |": "test_readme:the_environment_of_make_has_every_extra imaging/test_stable_diffusion:a_file_gives_the_networks_that_went_into_it",
    "commands has all of them": "test_readme:the_environment_of_make_has_every_extra",
    "`make comfyui` clones one": "test_readme:what_make_would_do",
    "brings Visionsmith, workflows and models": "provisioning/test_script:it_clones_and_updates_this_package provisioning/test_install:everything_that_can_come_comes test_publishing:the_image_starts_comfyui_whatever_came",
    "Browse Templates* and there *digits-classifier*": "e2e/test_server:templates_are_listed test_readme:every_template_is_named",
    "From left to right you see a drawing": "e2e/test_browser:canvas_and_api_files_describe_one_graph e2e/test_browser:nodes_do_not_overlap_and_lie_in_their_groups",
    "Above each layer stands what leaves it": "e2e/test_shapes:shipped_workflow nodes/test_shapes:shape_parameters_and_multiply_adds",
    "Build Network makes the weights, the chart in Train grows": "e2e/test_charts:it_grows_is_read_zoomed_and_stopped e2e/test_views:confusion_and_pictures_of_a_cell e2e/test_server:shipped_workflows_run",
    "Without a run the wire into Merge becomes red": "e2e/test_shapes:connect_disconnect_and_the_wire_to_blame nodes/test_shapes:the_input_that_is_to_blame_is_named",
    "*add needs tensors of one shape": "test_readme:the_sentence_of_the_drawing_that_is_broken",
    "Mistakes are told like this": "e2e/test_server:a_mistake_is_told_in_one_sentence_on_its_node nn_layers/test_layers:a_wrong_connection_is_told_in_one_sentence",
    "A training with the same settings is found on disk": "e2e/test_server:a_finished_training_is_found_on_disk training/test_fit:a_finished_training_is_found_and_another_one_starts_anew",
    "Press Cancel in the middle and run again": "e2e/test_server:cancel_stops_within_a_second_and_keeps_what_was_learned training/test_fit:a_stopped_training_goes_on_bit_for_bit",
    "Put them into one folder per class": "training/test_sources:a_flat_folder_is_split_class_by_class_and_by_seed",
    "Open the template *image-folder-finetune*": "e2e/test_server:shipped_workflows_run",
    "Save Network keeps the result": "nn_layers/test_storage:a_saved_network_comes_back_bit_for_bit",
    "Load Network and Predict use it": "training/test_evaluate:predictions_of_pictures_of_any_size_and_color nn_layers/test_storage:files_are_found_behind_links_and_circles_end",
    "Every node has a help page": "test_help:every_node_has_a_page_and_every_page_a_node e2e/test_server:every_node_explains_itself",
    "for each a mask of the same name": "training/segmentation/test_folders:pictures_and_masks_of_one_name_are_read_together training/segmentation/test_masks:index_masks_keep_their_numbers_and_255_is_ignored training/segmentation/test_masks:a_palette_holds_class_numbers_and_their_colors training/segmentation/test_masks:black_and_white_is_one_defect",
    "draws them in ComfyUI": "e2e/test_label_editor:draw_save_and_open_again",
    "Other layouts, colours and COCO files": "training/segmentation/test_folders:mmsegmentation_layout training/segmentation/test_masks:colors_are_looked_up_in_the_table training/segmentation/test_coco:polygons_and_both_run_length_codes",
    "Segmentation Dataset divides the pictures by chance": "training/segmentation/test_folders:shares_by_chance_divide_every_class_by_itself training/test_best_epoch:every_split_gets_some_of_a_class_that_has_enough test_readme:segment_defects_is_what_the_steps_say",
    "Dataset Statistics shows how rare each is": "training/test_statistics:the_table_of_masks_has_shares_of_pixels_and_pictures",
    "Pictures keep their size": "training/segmentation/test_windows:windows_are_parts_of_the_picture_at_every_place",
    "seven of ten over a defect": "test_docs:numbers_of_the_readme training/segmentation/test_windows:half_of_the_windows_lie_over_a_defect",
    "**Train** a U-Net with focal loss": "test_readme:segment_defects_is_what_the_steps_say",
    "goes over every picture in full size": "training/segmentation/test_learning:a_report_counts_every_pixel_of_the_split training/segmentation/test_memory:a_picture_of_4096_pixels_needs_little_memory",
    "IoU and Dice of each class": "training/segmentation/test_learning:a_report_as_text training/segmentation/test_learning:the_worst_pictures_come_first training/segmentation/test_learning:errors_by_kind training/test_segmentation_metrics_defects:defects_found_and_false_alarms",
    "Threshold Sweep finds the threshold": "training/test_segmentation_metrics:thresholds_give_the_curve_of_scikit_learn training/segmentation/test_predict:a_threshold_at_prediction test_readme:segment_defects_is_what_the_steps_say",
    "Load Network and Predict Segmentation give masks and boxes": "training/segmentation/test_predict:boxes_lie_around_connected_defects nodes/test_segmentation_nodes:a_whole_workflow_from_masks_to_masks",
    "puts Augment Dataset before the training": "test_readme:multiply_defects_is_what_the_page_says augmentation/test_dataset:originals_come_first_and_nothing_else_changes augmentation/test_dataset:equal_balance_evens_the_classes_out",
    "says in words which one to keep, and why": "headless/test_augment_and_compare:the_loop_ends_with_which_augmentation_to_keep training/test_dataset_choice:the_rule_chooses_on_val_and_reports_on_test",
    "trains a U-Net drawn layer by layer on the same pictures": "e2e/test_server:shipped_workflows_run test_readme:templates_of_masks_read_the_drawn_pictures",
    "These four run without ComfyUI": "headless/test_workflow:shipped_workflows_are_right test_tutorial:the_tutorial_leads_to_its_end headless/test_augment_and_compare:the_loop_ends_with_which_augmentation_to_keep",
    "forty pictures drawn by a program": "test_docs:numbers_of_the_readme nodes/test_experiment_nodes:the_folder_sample_is_drawn_where_there_is_none",
    "turns a defect that you paint over into others": "e2e/test_edit:the_shipped_workflow_edits_and_labels_anew",
    "To compare networks, datasets or losses": "test_docs:experiment_files_are_understood training/test_experiment:a_grid_leaves_a_readable_tree_and_a_table",
    "eight trainings, one table": "test_docs:experiment_files_are_understood training/test_experiment:finished_trials_are_read_and_a_half_done_one_goes_on",
    "copied to output/parts/losses/best": "headless/test_experiment:the_commands_print_the_table_and_the_winner_and_copy_it test_tutorial:the_tutorial_leads_to_its_end",
    "lists the 28 there are": "test_docs:numbers_of_the_readme nn_layers/test_segmentation:the_page_lists_every_architecture",
    "On the canvas the nodes Experiment and Find Best do the same": "nodes/test_experiment_nodes:find_best_reads_a_finished_experiment",
    "**Find** things by words": "imaging/test_sam3:words_in_every_picture nodes/test_sam3:files_are_found_wherever_they_lie imaging/test_masks_objects:statistics_and_their_table",
    "**Erase** what a mask covers": "imaging/test_erase:methods_without_a_model_continue_what_is_around imaging/test_erase_lama:every_published_format_gives_the_same_network benchmarks/erase.py",
    "**Repaint** it with an ordinary checkpoint": "nodes/test_inpaint_nodes:an_ordinary_checkpoint_gets_a_noise_mask nodes/test_inpaint_nodes:a_checkpoint_made_for_inpainting_gets_the_masked_picture",
    "Inpaint Crop → Prepare Inpaint Model": "nodes/test_inpaint_nodes:crop_repaint_stitch",
    "Outside of the mask and its blend, no pixel changes": "imaging/test_crop:outside_the_blend_nothing_changes e2e/test_imaging_workflows:words_find_it_lama_removes_it_and_the_place_is_repainted",
    "| *segment-remove-inpaint*": "e2e/test_imaging_workflows:words_find_it_lama_removes_it_and_the_place_is_repainted e2e/test_imaging_workflows:a_checkpoint_made_for_inpainting_and_a_lora_change_what_is_painted",
    "| *remove-inpaint* |": "e2e/test_imaging_workflows:a_painted_mask_is_enough_and_repainting_is_an_option",
    "| *text-to-image*": "e2e/test_imaging_workflows:text_to_image e2e/test_imaging_workflows:image_to_image test_readme:notes_have_the_settings_of_every_stable_diffusion",
    "| *remove-background* |": "e2e/test_imaging_workflows:remove_background",
    "| *interrogate* |": "e2e/test_imaging_workflows:interrogate",
    "says which files they need": "provisioning/test_manifest:shipped_workflows_name_models_that_the_manifest_brings test_readme:sizes_on_the_page_of_imaging_are_those_of_the_manifest",
    "Models are fetched only where you set `download`": "nodes/test_erase:download_only_on_request nodes/test_words:nothing_is_fetched_unless_asked test_readme:nodes_that_fetch_say_size_and_licence",
    "Concept Dataset → Train LoRA": "e2e/test_finetune:train_lora e2e/test_finetune:train_lora_for_inpainting_use_it_and_see_it_beside_no_training training/finetune/test_finetune:three_pictures_are_learned imaging/test_stable_diffusion:the_published_sizes_are_told_from_the_shapes",
    "A chart and sample pictures appear": "e2e/test_finetune:train_lora training/finetune/test_finetune:dreambooth_of_two_concepts_with_class_pictures_and_samples",
    "Cancel keeps what was learned": "training/finetune/test_finetune:killed_or_stopped_and_gone_on_with_is_the_same_bit_for_bit",
    "The files are ComfyUI's": "training/finetune/test_kohya:comfyui_takes_every_key training/finetune/test_single_file:file_to_pipeline_to_file e2e/test_finetune:dreambooth_of_defects_is_a_checkpoint_for_comfyui_and_a_folder_for_diffusers",
    "| *train-lora* |": "e2e/test_finetune:train_lora",
    "| *train-lora-inpainting* |": "e2e/test_finetune:train_lora_for_inpainting_use_it_and_see_it_beside_no_training",
    "| *dreambooth-defects* |": "e2e/test_finetune:dreambooth_of_defects_is_a_checkpoint_for_comfyui_and_a_folder_for_diffusers training/finetune/test_concepts:mvtec",
    "| *use-lora-inpaint* |": "e2e/test_finetune:train_lora_for_inpainting_use_it_and_see_it_beside_no_training",
    "on several GPUs with `--devices` and `--nodes`": "headless/test_finetune:two_processes_learn_what_one_learns_from_twice_the_batches",
    "`visionsmith finetune scratch.toml`": "headless/test_finetune:it_trains_once headless/test_finetune:what_a_file_says",
    "lists, compares, prunes and promotes": "training/finetune/test_finetune:runs_are_listed_promoted_and_pruned nodes/test_finetune:a_lora_is_trained_found_again_and_looked_after",
    "puts trainings side by side": "training/finetune/test_compare:columns_are_painted_from_the_same_noise training/finetune/test_compare:text_to_image_beside_inpainting_has_the_masked_picture_first",
    "elsewhere `pip install '.[headless]'`": "test_docs:every_line_of_shell_is_known",
    "made of Visionsmith nodes and ComfyUI's own": "headless/test_workflow:shipped_workflows_are_right headless/test_workflow:files_that_are_no_workflow",
    "`check` finds mistakes": "headless/test_workflow:every_mistake_is_found_before_anything_runs headless/test_workflow:all_mistakes_are_told_at_once",
    "`--set NODE.INPUT=VALUE` changes a value": "headless/test_workflow:values_are_set_by_id_or_title",
    "NODE is an id or a title": "headless/test_workflow:values_are_set_by_id_or_title",
    "The exit code is 0": "headless/test_workflow:a_failing_node_gives_exit_code_one headless/test_workflow:files_that_are_no_workflow training/test_processes:the_command_can_be_interrupted_and_killed_and_comes_to_the_same",
    "`visionsmith convert OLD.json NEW.json`": "headless/test_convert:command_writes_and_tells e2e/test_old_workflows:an_old_drawing_is_converted_opens_and_trains",
    "nodes of older packs that ComfyUI offers to replace": "e2e/test_old_workflows:old_nodes_are_replaced_and_run",
    "`visionsmith models get NAME`": "provisioning/test_install:models_list_get_verify",
    "`pack` and `unpack` share a workflow": "headless/test_pack:there_and_back headless/test_pack:a_network_of_visionsmith_runs_on_the_other_machine",
    "Everything goes below ComfyUI's output folder": "nodes/test_host:writing_below_output_only",
    "`--output`, at first `output/`": "headless/test_workflow:the_shipped_workflow_ends_with_its_accuracy_and_where_the_pictures_are test_tutorial:the_tutorial_leads_to_its_end",
    "`runs/NETWORK-DATASET-KEY`": "training/test_fit:it_learns_and_leaves_a_readable_run training/test_fit:a_single_number_of_the_weights_counts_in_the_key training/test_fit:a_finished_training_is_found_and_another_one_starts_anew",
    "An experiment has `experiments/NAME`": "training/test_experiment:a_grid_leaves_a_readable_tree_and_a_table headless/test_augment_and_compare:the_loop_ends_with_which_augmentation_to_keep",
    "Previews of headless runs are in `output/pictures`": "headless/test_workflow:the_shipped_workflow_ends_with_its_accuracy_and_where_the_pictures_are test_tutorial:the_tutorial_leads_to_its_end",
    "can be reached by strangers": "e2e/test_hostile:a_body_that_never_ends_holds_one_connection_only",
    "Visionsmith reads only below": "nodes/test_host:reading_below_the_roots nodes/test_host:ways_out_are_closed nodes/test_host:writing_below_output_only e2e/test_server:paths_outside_the_allowed_folders_are_refused",
    "masks beside the pictures)": "nodes/test_labels:hostile_saving_is_refused_and_leaves_everything nodes/test_labels:folders_outside_can_be_allowed",
    "Networks and runs are JSON and safetensors": "nn_layers/test_storage:a_pickle_offered_as_weights_is_never_unpickled nn_layers/test_layers:sizes_are_read_from_text_without_evaluating_it training/test_losses:numbers_are_read_without_evaluating_them",
    "Nodes use the internet only where": "nodes/test_shapes:a_pretrained_backbone_fetches_nothing nodes/test_erase:download_only_on_request nodes/test_sam3:a_download_on_request nn_layers/test_storage:a_saved_backbone_does_not_fetch_its_weights_again",
    "Experiment files are plain YAML": "test_readme:an_experiment_file_runs_no_code",
    "`make docs` builds it as a site": "test_site:every_page_has_its_place test_site:links_that_leave_the_folder_lead_on",
}
NO_CLAIM = (
    "Choose one:", "**ComfyUI-Manager**", "**comfy-cli**", "`comfy node install visionsmith`", "**git**, with", "Then restart ComfyUI",
    "**Open.**", "**Run.**", "**Break it.**", "Set `out_channels` of", "Set it back", "**Change it.**", "Try another Activation", "**Your own pictures.**",
    "**Pictures and masks.**", "There are none yet?", "**Open** the template", "Give the classes names", "**Windows.**",
    "Give Segmentation Model a `window`", "**Use it.**", "What the other nodes for pictures need", "The packages come with",
    "After `make run` the command is", "The last one wants pictures", "Licence:", "[GPL-3.0-or-later]", "| Extra |", "| Template |",
)  # fmt: skip
FIGURES = {  # a page: its words, and those of docs/benchmarks.md
    "docs/explanation/inversion.md": ("2.3 times as fast as the notebook", "null-text 2.3 × as fast as the notebook"),
    "docs/explanation/losses.md": ("focal + Tversky found 96 % of the defects, cross entropy alone 18 %", "**0.964 ± 0.008**", "| cross entropy | 0.029 ± 0.040 | 0.038 ± 0.054 | 0.176"),
    "docs/faq.md": ("seven to thirteen times as fast", "union 10.3 ×, intersection 8.1 ×, difference 9.3 ×, xor 7.6 ×, majority 13.3 ×"),
    "docs/explanation/lama.md": ("a twentieth of the time of the whole picture", "take 1/20.1 of the time of the whole picture"),
    "docs/how-to/segment-rare-defects.md": ("a sixth of the defects when focal + Tversky had found nearly all", "**0.964 ± 0.008**", "| cross entropy | 0.029 ± 0.040 | 0.038 ± 0.054 | 0.176"),
    "web/docs/VisionsmithAugmentDataset.md": ("on roads with a crack in every picture copy-paste did not", "road cracks, copy-paste: no gain"),
}  # fmt: skip


def sentences():
    """What README says: sentences, rows of tables and comments beside commands, without links to read on and the tables of nodes."""
    text = re.sub(r"^## Nodes\n.*?(?=^## )", "", README, flags=re.MULTILINE | re.DOTALL)
    found = [
        comment
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for comment in re.findall(r" # +(.+)", block)
    ]
    text, _, links = re.sub(r"^ *```\w+\n.*?^ *```\n", "", text, flags=re.MULTILINE | re.DOTALL).partition("\n| | |\n")
    for line in map(str.strip, [*text.splitlines(), *links.splitlines()]):
        reads_on = line.startswith("|") and not re.sub(r"^\| [\w ]*\||\[[^]]+\]\([^)]+\)|[ |·]", "", line)
        if line.startswith("|") and not reads_on and not line.startswith("| ---"):
            found.append(line)
        elif line and not line.startswith(("#", "![", "|", "[Install]")):
            found += re.split(r"(?<=[.:?;*]) (?=[A-Z`*\[])", re.sub(r"^(?:- |\d\. )", "", line))
    return found


@cache
def names_of(file):
    """The functions of a file."""
    return {
        node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("sentence", sentences())
def test_every_sentence_is_proved_or_claims_nothing(sentence):
    assert any(part in sentence for part in CLAIMS) or sentence.startswith(NO_CLAIM), (
        "add it to CLAIMS with the test that proves it"
    )


@pytest.mark.parametrize("part", [*CLAIMS, *NO_CLAIM])
def test_every_line_of_the_map_is_in_the_readme(part):
    assert any(part in sentence for sentence in sentences())


def test_every_proof_is_there():
    for proof in {proof for proofs in CLAIMS.values() for proof in proofs.split()}:
        file, _, name = proof.partition(":")
        if name:
            assert f"test_{name}" in names_of(TESTS / f"{file}.py"), proof
        else:
            assert (TESTS.parent / file).is_file(), proof


@pytest.mark.parametrize("page", FIGURES)
def test_figures_of_pages_are_those_of_the_benchmarks(page):
    quoted, *measured = FIGURES[page]
    benchmarks = (TESTS.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")

    assert quoted in (TESTS.parent / page).read_text(encoding="utf-8")
    assert all(words in benchmarks for words in measured)
