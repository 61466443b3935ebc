"""Which test shows that a key moves something: test -> keys. `test_keys.py` holds this against the configs and the tests.

Keys of commands are COMMAND.KEY, those of options GROUP.OPTION.KEY. `*.KEY`: of all commands that have it and stand nowhere
else, for a test that runs over all commands.
"""

from __future__ import annotations

CONFIGS, SCRIPTS, OWN = "tests/test_configs.py", "tests/commands/test_scripts.py", "tests/commands/test_command_keys.py"
ATLAS, FILM = "tests/commands/test_atlas_script.py", "tests/commands/test_interpolate.py"
EDIT = "tests/commands/test_edit_script.py"
CHILDREN, FOLDERS = "tests/commands/test_children_scripts.py", "tests/commands/test_folders.py"
BATCH, RAY, FILE = "tests/commands/test_batch.py", "tests/execution/test_ray.py", "tests/generators/test_file.py"
STEERING, BLENDS, STORE = (
    "tests/editing/test_steering.py",
    "tests/blending/test_blends.py",
    "tests/store/test_maintenance.py",
)
PEOPLE = "tests/blending/test_people.py"
COLOURS, PARTNER = "tests/blending/test_colours.py", "tests/blending/test_partner.py"
KEYS, TRAINING, REGIONS = "tests/test_keys.py", "tests/training/test_training.py", "tests/blending/test_inheritance.py"
REFINEMENTS, WEIGHTS = "tests/inversion/test_refinements.py", "tests/inversion/test_refine_weights.py"

MOVES = {
    # of all commands
    f"{OWN}::test_device_and_threads_are_set_before_any_work": "*.device *.threads",
    f"{FOLDERS}::test_a_folder_is_of_one_job": "*.output_dir *.overwrite",
    "tests/odd/test_tables_and_folders.py::test_run_folders_and_stores_are_their_user_s_alone": "*.private",
    "tests/odd/test_weights_and_latents.py::test_latents_out_and_in": """import_latents.input import_latents.output
        import_latents.overwrite export_latents.latents export_latents.output export_latents.rows
        export_latents.overwrite""",
    f"{FOLDERS}::test_an_evaluation_s_folder_is_of_one_job": "evaluate_children.output_dir evaluate_children.overwrite",
    "tests/test_c2pa.py::test_a_family_is_signed": "mark.c2pa.certificate mark.c2pa.key mark.c2pa.algorithm",
    "tests/report/test_events.py::test_a_trace_for_tensorboard": "family.tensorboard invert.tensorboard",
    # the page
    "tests/app/test_sessions.py::test_the_address_that_was_asked_for": "app.host app.port",
    "tests/app/test_guard.py::test_only_by_its_names": "app.names",
    "tests/app/test_sessions.py::test_who_has_not_been_seen_for_minutes_is_forgotten": "app.minutes",
    "tests/app/test_sessions.py::test_so_many_visitors_and_no_more": "app.visitors",
    "tests/app/test_sessions.py::test_so_many_jobs_a_minute": "app.per_minute",
    "tests/app/test_jobs.py::test_one_after_the_other": "app.waiting",
    "tests/app/test_page.py::test_too_large_a_photograph_is_not_taken": "app.megabytes",
    # faces in, faces out
    f"{SCRIPTS}::test_a_family": "family.father family.mother family.siblings family.trace",
    f"{SCRIPTS}::test_one_sibling_is_replayed_alone": "family.siblings_only",
    f"{OWN}::test_a_face_of_a_parent_s_photograph": "family.father_face family.mother_face",
    "tests/blending/test_pedigree.py::test_three_generations": """generations.tree generations.seed generations.metrics
        generations.diversity""",
    "tests/blending/test_pedigree.py::test_those_before_the_last_are_grown_up": "generations.grown",
    "tests/blending/test_twins.py::test_identical_twins_through_the_scripts": "family.twins blend.twins",
    "tests/blending/test_drawn_parent.py::test_people_like_the_given_one_or_anyone": "family.drawn_parent",
    f"{OWN}::test_a_family_s_seed_diversity_and_metrics": "family.seed family.diversity family.metrics",
    f"{OWN}::test_an_album_s_keys": """invert.photos invert.face invert.seed invert.metrics invert.trace
        encode.photos encode.face encode.seed encode.metrics encode.trace encode.inversion.steps encode.store.path""",
    f"{OWN}::test_a_blend_s_keys": """blend.father blend.mother blend.seed blend.siblings blend.siblings_only
        blend.diversity""",
    f"{CHILDREN}::test_partner": "partner.of_child partner.parent partner.samples partner.diversity partner.seed",
    f"{KEYS}::test_what_the_other_parent_is_to_be": "partner.child.age partner.child.gender",
    f"{EDIT}::test_each_key_moves_the_edit": """edit.latents edit.age edit.gender edit.yaw edit.pitch edit.smile
        edit.eyes_open edit.hair_darkness edit.glasses edit.steps edit.directions edit.bound""",
    f"{EDIT}::test_a_photograph_is_inverted_first": "edit.photo edit.face edit.seed edit.metrics",
    f"{EDIT}::test_a_photograph_gets_its_face_back": "edit.paste_back",
    f"{EDIT}::test_lists_are_several_edits_and_a_film": "edit.frames edit.fps edit.size",
    # many couples
    f"{BATCH}::test_tables_folders_and_report": "batch.manifest",
    "tests/batch/test_batch_edits.py::test_it_goes_on_and_does_anew_what_changed": "batch.edit",
    f"{BATCH}::test_the_same_command_goes_on": "batch.verify",
    f"{BATCH}::test_children_of_couples_without_a_seed_are_their_own": "batch.seed",
    f"{BATCH}::test_metrics_asked_for_later_need_no_step": "batch.metrics",
    "tests/batch/test_batch_faults.py::test_bad_photographs_are_named_and_the_others_done": "batch.retry_failed",
    f"{OWN}::test_diversity_and_siblings_of_a_batch": "batch.diversity batch.siblings",
    f"{STORE}::test_prune_takes_rubbish_only": "store.do",
    f"{STORE}::test_forgetting_a_photograph": "store.forget",
    f"{STORE}::test_prune_by_age": "store.keep_days",
    # looking at latents
    f"{ATLAS}::test_a_map": "atlas.latents",
    f"{ATLAS}::test_each_key_moves_the_map": """atlas.samples atlas.seed atlas.dimensions atlas.thumbnail
        atlas.neighbours""",
    f"{ATLAS}::test_by_identity_too": "atlas.identity",
    f"{ATLAS}::test_bad_values_are_named_before_any_work": "atlas.method",
    f"{FILM}::test_each_key_moves_the_film": """interpolate.latents interpolate.path interpolate.frames interpolate.fps
        interpolate.size interpolate.easing interpolate.loop""",
    f"{FILM}::test_equal_speed": "interpolate.equal_speed interpolate.probes",
    # measuring
    "tests/commands/test_training_scripts.py::test_benchmark": "benchmark.photos benchmark.recipes benchmark.points",
    f"{OWN}::test_the_seed_and_metrics_of_a_benchmark": "benchmark.seed benchmark.metrics",
    "tests/metrics/test_children.py::test_two_sampled_couples_and_again": "evaluate_children.couples",
    "tests/metrics/test_children.py::test_what_cannot_be_evaluated": "evaluate_children.data evaluate_children.layout",
    f"{OWN}::test_an_evaluation_s_children_and_metrics": """evaluate_children.seed evaluate_children.diversity
        evaluate_children.metrics""",
    f"{OWN}::test_an_evaluation_of_alignment": """evaluate_alignment.faces evaluate_alignment.seed
        evaluate_alignment.landmarks""",
    # weights and training
    f"{SCRIPTS}::test_fetch_weights_lists_licences": "fetch_weights.only fetch_weights.list",
    f"{FILE}::test_converting": "convert_weights.input convert_weights.output convert_weights.overwrite",
    "tests/generators/test_onnx_graph.py::test_stored_latents_are_drawn_elsewhere": """export_onnx.output
        export_onnx.overwrite""",
    f"{OWN}::test_the_seed_of_the_demo_s_father": "demo_photos.seed",
    f"{CHILDREN}::test_directions_without_labels": "find_directions.method find_directions.count",
    f"{CHILDREN}::test_stored_directions_are_measured": "find_directions.directions",
    f"{CHILDREN}::test_a_direction_of_hair_beside_others": "find_directions.people",
    f"{CHILDREN}::test_glasses_and_light_beside_others": "find_directions.marks",
    f"{CHILDREN}::test_directions_from_labels_go_on_after_a_kill": """find_directions.samples find_directions.held_out
        find_directions.identity_weight find_directions.judge find_directions.seed""",
    f"{CHILDREN}::test_regions_are_found": """find_regions.samples find_regions.faces find_regions.couples
        find_regions.contrast find_regions.seed""",
    f"{PEOPLE}::test_people_through_the_scripts": """find_people.samples find_people.seed inherit.regions.people
        inherit.regions.mutation""",
    f"{OWN}::test_each_key_of_a_training_moves_what_is_trained": """train_encoder.passes train_encoder.identity_weight
        train_encoder.held_out train_encoder.steps train_encoder.batch train_encoder.image_weight
        train_encoder.learning_rate train_encoder.seed train_preview_heads.samples_dir train_preview_heads.samples
        train_preview_heads.held_out train_preview_heads.resolutions train_preview_heads.steps train_preview_heads.batch
        train_preview_heads.learning_rate train_preview_heads.lpips_weight train_preview_heads.seed""",
    f"{TRAINING}::test_a_killed_training_goes_on_with_the_same_bits": "*.checkpoint_every",
    # options: generators, aligners
    f"{FILE}::test_keys_of_the_option": """generator.file.path generator.file.domain generator.file.class_label
        generator.file.precision""",
    f"{CONFIGS}::test_preview_heads_may_be_left_out": "generator.mobile_stylegan.preview_heads",
    f"{CONFIGS}::test_tiny_keys": """generator.tiny.seed generator.tiny.resolution generator.tiny.w_dim
        generator.tiny.channels""",
    f"{KEYS}::test_the_size_of_a_crop": "aligner.prealigned.size aligner.ffhq.size aligner.centre.size",
    "tests/faces/test_aligner.py::test_prepared_crops_are_checked": "aligner.prealigned.check aligner.prealigned.tolerance",
    "tests/faces/test_aligner.py::test_a_drawn_face_is_found_where_it_is": "aligner.ffhq.landmarks",
    "tests/faces/test_aligner.py::test_no_face_and_small_faces_are_named": "aligner.ffhq.min_side",
    # spaces, starts, losses
    f"{CONFIGS}::test_each_key_moves_the_result": """space.p.reach space.w_plus.whitening
        losses.pixel.weight losses.pixel.kind losses.pixel.sizes losses.delta_norm.weight losses.delta_norm.late
        inversion.adam.steps
        inversion.adam.previews inversion.adam.previews_until inversion.adam.learning_rate inversion.adam.betas
        inversion.adam.warmup inversion.adam.hold inversion.adam.noise_maps inversion.adam.latent_noise
        inversion.adam.latent_noise_until inversion.adam.patience inversion.adam.target""",
    f"{CONFIGS}::test_best_of_keys": "start.best_of.samples start.best_of.psi",
    "tests/inversion/test_starts.py::test_best_of_is_the_best_of_its_samples": "start.best_of.near",
    "tests/inversion/test_starts.py::test_from_inversion_goes_on_from_stored_latents": "start.inversion.path",
    "tests/inversion/test_encoder.py::test_a_start_and_its_identity": "start.encoder.path",
    "tests/inversion/test_encoder.py::test_passes": "start.encoder.passes",
    f"{CONFIGS}::test_lpips_keys": """losses.lpips.weight losses.lpips.backbone losses.lpips.sizes
        losses.lpips.size_weights""",
    f"{CONFIGS}::test_identity_keys": "losses.identity.weight losses.identity.inner losses.identity.flip",
    f"{CONFIGS}::test_ms_ssim_and_p_norm_weights": "losses.ms_ssim.weight losses.ms_ssim.size losses.p_norm.weight",
    f"{CONFIGS}::test_the_weight_of_noise_counts": "losses.noise.weight",
    # inversion, refinement
    f"{CONFIGS}::test_keep_counts": "inversion.adam.keep",
    f"{CONFIGS}::test_min_improvement_counts": "inversion.adam.min_improvement",
    "tests/inversion/test_loop.py::test_the_key_names_all_that_matters": "inversion.adam.correct_every",
    "tests/metrics/test_verdict.py::test_another_person_is_someone_else": "inversion.adam.require",
    "tests/inversion/test_refinement.py::test_each_setting_moves_something": """refine.features.side
        refine.features.previews refine.features.whole refine.features.learning_rate refine.features.betas
        refine.features.correct_every refine.features.pixel""",
    "tests/inversion/test_refinement.py::test_each_weight_moves_something": """refine.features.lpips
        refine.features.identity refine.features.sharp""",
    f"{REFINEMENTS}::TestEach": """refine.styles.previews refine.styles.whole refine.styles.learning_rate refine.styles.betas
        refine.styles.correct_every refine.styles.sharp refine.styles.lpips refine.styles.identity
        refine.noise.previews refine.noise.whole refine.noise.learning_rate refine.noise.betas
        refine.noise.correct_every refine.noise.sharp refine.noise.lpips refine.noise.identity
        refine.weights.previews refine.weights.whole refine.weights.learning_rate refine.weights.betas
        refine.weights.correct_every refine.weights.sharp refine.weights.lpips refine.weights.identity""",
    f"{REFINEMENTS}::test_the_weight_of_pixels_counts": "refine.styles.pixel refine.noise.pixel refine.weights.pixel",
    f"{WEIGHTS}::test_only_the_chosen_layers_move": "refine.weights.sides",
    f"{WEIGHTS}::test_locality_keeps_others_as_they_were": "refine.weights.locality refine.weights.alpha",
    "tests/commands/test_together.py::test_a_family_in_one_copy": "refine.weights.together",
    f"{REFINEMENTS}::test_styles_stay_within_reach": "refine.styles.reach",
    f"{REFINEMENTS}::test_maps_keep_their_spread_and_the_weight_counts": "refine.noise.noise",
    "tests/losses/test_masks.py::test_the_key_moves_the_result": """losses.lpips.mask losses.pixel.mask
        losses.ms_ssim.mask""",
    # children
    f"{BATCH}::test_row_settings_move_the_child": "blend.even.weight blend.even.path",
    f"{BLENDS}::test_crossover_takes_rows_from_whom_it_says": """blend.crossover.coarse blend.crossover.middle
        blend.crossover.fine""",
    f"{BLENDS}::test_per_layer": "blend.per_layer.layer_weights",
    f"{BLENDS}::test_ramp_by_hand": "blend.ramp.power",
    f"{KEYS}::test_the_path_of_a_recipe": "blend.crossover.path blend.per_layer.path blend.ramp.path",
    f"{REGIONS}::test_each_region_can_be_said": """inherit.regions.eyes inherit.regions.nose inherit.regions.mouth
        inherit.regions.face_shape inherit.regions.hair""",
    "tests/editing/test_graft.py::test_mothers_nose_and_nothing_else": "inherit.regions.brows",
    f"{COLOURS}::test_each_colour_can_be_said": "inherit.regions.skin inherit.regions.hair_colour",
    f"{PARTNER}::test_what_a_child_has_from_the_guessed_one": """partner.inherit.eyes partner.inherit.brows
        partner.inherit.nose partner.inherit.mouth partner.inherit.face_shape partner.inherit.hair""",
    f"{REGIONS}::test_regions_through_the_scripts": "inherit.regions.path",
    f"{STEERING}::test_settings_move_the_result": """child.steered.age child.steered.gender child.steered.certainty
        child.steered.bound child.steered.tolerance""",
    f"{STEERING}::test_several_ages_of_one_child": "child.steered.ages",
    "tests/editing/test_hold.py::test_the_search_holds_the_person": "child.steered.search",
    "tests/editing/test_hold.py::test_an_edit_holds_the_person": "edit.hold",
    "tests/editing/test_hold.py::test_the_scene_is_not_inherited": "child.steered.scene",
    f"{KEYS}::test_steps_and_directions_of_fixed_steps": """child.fixed_steps.steps child.fixed_steps.directions
        child.steered.directions""",
    # runners, store
    f"{KEYS}::test_faces_side_by_side": "runner.local.batch_size runner.local.workers",
    f"{RAY}::test_a_wrong_address_is_said_at_once": "runner.ray.address",
    f"{RAY}::test_too_small_machines_are_said": "runner.ray.cpus runner.ray.gpus",
    f"{RAY}::test_an_item_that_kills_every_worker_is_named": "runner.ray.retries",
    f"{RAY}::test_no_more_is_taken_than_there_is_room_for": "runner.ray.in_flight",
    f"{SCRIPTS}::test_the_second_time_takes_no_step": "store.folder.path",
}
