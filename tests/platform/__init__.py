"""SageMaker's side of the container contract, and what the container makes of each of its clauses."""
