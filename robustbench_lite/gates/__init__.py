"""Gates: rules over runs with a statistical verdict. Nothing here needs torch."""
