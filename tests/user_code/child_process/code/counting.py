import json
import sys
from collections import Counter


def words(text):
    return dict(sorted(Counter(text.split()).items()))


if __name__ == "__main__":
    print(json.dumps(words(sys.argv[1])))
