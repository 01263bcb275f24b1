"""Count what is in a text."""

from workers.registry import JobContext, job


@job
def analyze(content: str, job: JobContext) -> str:
    """Count characters, words, vowels and consonants."""
    job.pretend_to_work(3)
    letters = [character for character in content.lower() if character.isalpha()]
    vowels = sum(letter in "aeiou" for letter in letters)
    return (
        f"📊 Analysis of '{content}':\n"
        f"• Characters: {len(content)}\n"
        f"• Words: {len(content.split())}\n"
        f"• Vowels: {vowels}\n"
        f"• Consonants: {len(letters) - vowels}"
    )
