"""What the canvas may ask the server: shapes of a drawing, workflows of older packs rewritten."""
