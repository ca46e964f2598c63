"""The 19 labels of CelebAMask-HQ, as this generator paints them, and the materials of a head's faces."""

LABEL_NAMES = ("background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth",
               "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth")
(BACKGROUND, SKIN, NOSE, EYE_G, L_EYE, R_EYE, L_BROW, R_BROW, L_EAR, R_EAR, MOUTH, U_LIP, L_LIP, HAIR, HAT, EAR_R,
 NECK_L, NECK, CLOTH) = range(19)

# Materials: what a face is made of. Skin faces get their label from painted fields, the others have one label each.
(M_SKIN, M_EYE_LEFT, M_EYE_RIGHT, M_TEETH, M_TONGUE, M_LASHES, M_HAIR, M_FRAME, M_LENS, M_HAT, M_EARRING, M_NECKLACE,
 M_CLOTH) = range(13)
