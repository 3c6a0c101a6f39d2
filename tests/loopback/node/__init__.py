"""Real Baileys as an independent peer: its pinned manifest, its installer, and the child process that hosts clients."""
