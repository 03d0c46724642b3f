"""The algebra and its plain ints: knows no user, no policy, no lowering."""
