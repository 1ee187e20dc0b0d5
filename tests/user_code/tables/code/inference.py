"""Rows in, rows out: the server reads and writes the CSV."""


def model_fn(model_dir):
    return {"tea": 2.5, "rain": 0.125}


def predict_fn(data, model):
    rows = data["inputs"]
    if isinstance(rows, str):
        rows = [rows]
    answers = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict):
            answers.append({"number": number, "question": row["question"], "found": row["question"] in row["context"]})
        else:
            price = sum(model.get(word, 1) for word in row.split())
            answers.append({"number": number, "text": row, "price": price})
    return answers
