/* The model, as it is, among the constants. */
    .section .rodata.model, "a"
    .balign 64
    .global model_image
model_image:
    .incbin MODEL
    .global model_image_end
model_image_end:
