"""The page of the API works under the content security policy, from this site's files alone."""


def test_the_page_shows_the_operations(page, db, screenshot):
    page.goto("/api/docs")
    page.wait_for_selector(".opblock-tag")
    assert page.locator(".opblock-tag").count() > 5
    page.locator(".opblock-tag").first.click()
    page.wait_for_selector(".opblock")
    screenshot("api-docs")
