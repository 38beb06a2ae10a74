"""What people look at, whatever the task: figures, curves and tables."""
